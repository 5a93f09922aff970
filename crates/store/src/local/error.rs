use std::io::{self, ErrorKind};

use crate::{Error, Kind};

/// What the operating system said, as a failed operation.
pub(super) fn from_io(operation: &'static str, uri: &str, error: &io::Error) -> Error {
    let (kind, remedy) = classify(error);
    Error::new(kind, operation, uri, format!("{error}{remedy}"))
}

fn classify(error: &io::Error) -> (Kind, &'static str) {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => (Kind::NotFound, ""),
        ErrorKind::PermissionDenied => (Kind::Denied, ": see to the permissions"),
        ErrorKind::ReadOnlyFilesystem => (Kind::Denied, ""),
        ErrorKind::AlreadyExists => (Kind::Precondition, ""),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::Full, ": free some space"),
        ErrorKind::FileTooLarge => (Kind::TooLarge, ""),
        ErrorKind::InvalidFilename | ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
            (Kind::Invalid, "")
        }
        ErrorKind::Interrupted
        | ErrorKind::TimedOut
        | ErrorKind::ResourceBusy
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::OutOfMemory => (Kind::Unavailable, ""),
        _ => match error.raw_os_error() {
            Some(EIO) => (Kind::Unavailable, ": the disk or its network failed"),
            Some(ENFILE | EMFILE) => (Kind::Unavailable, ": raise the limit of open files"),
            _ => (Kind::Other, ""),
        },
    }
}

// The same on every Linux and BSD, and without a name in `ErrorKind`.
const EIO: i32 = 5;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_have_the_kind_that_says_what_to_do() {
        for (number, kind) in [
            (1, Kind::Denied),        // EPERM
            (2, Kind::NotFound),      // ENOENT
            (5, Kind::Unavailable),   // EIO
            (13, Kind::Denied),       // EACCES
            (17, Kind::Precondition), // EEXIST
            (20, Kind::NotFound),     // ENOTDIR
            (24, Kind::Unavailable),  // EMFILE
            (28, Kind::Full),         // ENOSPC
            (30, Kind::Denied),       // EROFS
            (22, Kind::Invalid),      // EINVAL
        ] {
            let io = io::Error::from_raw_os_error(number);
            let error = from_io("put", "file:///x", &io);
            assert_eq!(error.kind, kind, "{io}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn quotas_and_long_names_too() {
        for (number, kind) in [(122, Kind::Full), (36, Kind::Invalid), (116, Kind::Unavailable)] {
            let io = io::Error::from_raw_os_error(number);
            assert_eq!(from_io("put", "file:///x", &io).kind, kind, "{io}");
        }
    }
}
