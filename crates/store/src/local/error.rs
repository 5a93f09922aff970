//! Errors of the operating system as errors of the store.

use std::io;

use crate::{Error, ErrorKind};

/// Converts an error of the operating system.
pub(super) fn from_io(operation: &'static str, uri: &str, error: io::Error) -> Error {
    let (kind, message) = classify(&error);
    let converted = Error::new(kind, operation, uri, message);
    match kind {
        // The system says the same in other words.
        ErrorKind::NotFound => converted,
        _ => converted.with_source(error),
    }
}

/// Returns the kind of an error, and its meaning with a remedy where there is one.
fn classify(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (ErrorKind::NotFound, "there is no such file or folder")
        }
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, "access is denied: check the permissions")
        }
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Denied, "the file system is read-only"),
        io::ErrorKind::AlreadyExists => (ErrorKind::Precondition, "the file exists already"),
        io::ErrorKind::StorageFull => (ErrorKind::Full, "the disk is full: free some space"),
        io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Full, "the quota of the disk is used up: free some space")
        }
        io::ErrorKind::FileTooLarge => {
            (ErrorKind::TooLarge, "the file is too large for the file system")
        }
        io::ErrorKind::IsADirectory => (ErrorKind::Invalid, "this is a folder, not a file"),
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            (ErrorKind::Invalid, "the file system does not accept this name")
        }
        io::ErrorKind::Interrupted
        | io::ErrorKind::TimedOut
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::OutOfMemory => {
            (ErrorKind::Unavailable, "the file system is not available now")
        }
        _ => match error.raw_os_error() {
            Some(EIO) => (ErrorKind::Unavailable, "the disk or its network failed"),
            Some(ENFILE | EMFILE) => {
                (ErrorKind::Unavailable, "too many open files: raise the limit")
            }
            _ => (ErrorKind::Other, "the file system failed"),
        },
    }
}

// The same on every Linux and BSD, and without a name in `io::ErrorKind`.
const EIO: i32 = 5;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_classified_by_what_the_caller_can_do() {
        for (number, kind) in [
            (1, ErrorKind::Denied),        // EPERM
            (2, ErrorKind::NotFound),      // ENOENT
            (5, ErrorKind::Unavailable),   // EIO
            (13, ErrorKind::Denied),       // EACCES
            (17, ErrorKind::Precondition), // EEXIST
            (20, ErrorKind::NotFound),     // ENOTDIR
            (24, ErrorKind::Unavailable),  // EMFILE
            (28, ErrorKind::Full),         // ENOSPC
            (30, ErrorKind::Denied),       // EROFS
            (22, ErrorKind::Invalid),      // EINVAL
        ] {
            check(number, kind);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn quotas_long_names_and_stale_handles_are_classified_on_linux() {
        for (number, kind) in [
            (122, ErrorKind::Full),        // EDQUOT
            (36, ErrorKind::Invalid),      // ENAMETOOLONG
            (116, ErrorKind::Unavailable), // ESTALE
        ] {
            check(number, kind);
        }
    }

    fn check(number: i32, kind: ErrorKind) {
        let io = io::Error::from_raw_os_error(number);
        let system = io.to_string();
        let error = from_io("put", "file:///x", io);
        assert_eq!(error.kind, kind, "{error:#}");
        let says_the_same = kind == ErrorKind::NotFound;
        assert_eq!(format!("{error:#}").ends_with(&system), !says_the_same, "{error:#}");
    }
}
