//! The contract between `fqdnc`, `fqdn-load` and the kernel programs: records, image format, canonical names,
//! the walk. See `schemas/image.md` for the format in words.
//!
//! ```text
//! Tables --encode--> bytes --decode--> Image --classes_of/may_reach--> Verdict
//!                                        \--dump--> text
//! ```
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod abi;
#[cfg(test)]
mod c_header;
pub mod compare;
pub mod decode;
pub mod difference;
pub mod dump;
pub mod encode;
pub mod hash;
pub mod judge;
pub mod labels;
pub mod learnable;
pub mod name;
pub mod pattern;
pub mod ports;
pub mod tables;
pub mod walk;

pub use decode::{DecodeError, Image};
pub use name::WireName;
pub use pattern::Pattern;
