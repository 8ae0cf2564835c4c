//! Images into pinned maps. No policy text is read here, nothing runs on afterwards.
//!
//! ```text
//! bytes --Image::decode--> Image --stage--> pinned map, read back --publish--> slot 0
//!                                  bind: workloads -> bindings of its generation, before
//! ```
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod bind;
pub mod bpfsys;
pub mod cgroup;
pub mod devices;
pub mod error;
pub mod folder;
pub mod image_file;
pub mod locals;
pub mod pins;
pub mod programs;
pub mod resolvers;
pub mod run;
pub mod sockets;
pub mod status;
pub mod swap;
