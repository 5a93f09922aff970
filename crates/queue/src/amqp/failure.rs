use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use crate::{Error, Kind};

/// Sorts lapin's errors by what there is to be done about them. `doing` names what failed.
pub(super) fn failure(doing: &str, error: &lapin::Error) -> Error {
    Error::new(kind(error), format!("{doing}: {error}"))
}

fn kind(error: &lapin::Error) -> Kind {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            // Wrong password, no such virtual host, no permission.
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Kind::Denied,
            // The broker shuts down, is short of something, or an operator closed the connection.
            AMQPErrorKind::Hard(
                AMQPHardError::CONNECTIONFORCED
                | AMQPHardError::RESOURCEERROR
                | AMQPHardError::INTERNALERROR,
            ) => Kind::Unavailable,
            _ => Kind::Other,
        },
        ErrorKind::IOError(_)
        | ErrorKind::MissingHeartbeatError
        | ErrorKind::InvalidChannel(_)
        | ErrorKind::InvalidChannelState(..)
        | ErrorKind::InvalidConnectionState(_) => Kind::Unavailable,
        _ => Kind::Other,
    }
}
