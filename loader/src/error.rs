//! What went wrong: operation, object, remedy.

use std::fmt;

/// An error to print. Exit code 1 = the image or the node's state is refused, 2 = it could not be done.
#[derive(Debug)]
pub struct Error {
    message: String,
    code: u8,
}

/// Result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What is refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Error { message: message.into(), code: 1 }
    }

    /// What could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Error { message: message.into(), code: 2 }
    }

    /// An operation on an object that the system refused.
    pub fn io(operation: &str, object: impl fmt::Display, error: &std::io::Error) -> Self {
        Error { message: format!("failed to {operation} `{object}`: {error}{}", remedy(error)), code: 2 }
    }

    /// For the process.
    pub fn code(&self) -> u8 {
        self.code
    }
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => " (run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)",
        Some(libc::EROFS) => " (mount bpffs writable, or give another --pins)",
        Some(libc::ENOSYS) => " (this kernel has no BPF; Linux 6.1 or later is needed)",
        Some(libc::E2BIG | libc::ENOSPC) => " (the map is full)",
        Some(libc::ENOMEM) => " (not enough memory)",
        _ => "",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
