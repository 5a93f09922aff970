//! Classifies lapin's errors.

use std::{error, fmt};

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::{Error, ErrorKind};

/// Wraps an error of lapin with its kind. `context` names the operation that failed.
pub(super) fn broker_error(context: impl Into<String>, error: lapin::Error) -> Error {
    Error::new(kind(&error), context).with_source(BrokerError(error))
}

/// An error of lapin without the repetition: lapin's message contains the text of its source, so
/// this skips that source in the chain.
#[derive(Debug)]
pub(super) struct BrokerError(pub(super) lapin::Error);

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source().and_then(error::Error::source)
    }
}

fn kind(error: &lapin::Error) -> ErrorKind {
    use lapin::ErrorKind as Lapin;
    match error.kind() {
        Lapin::ProtocolError(error) => match error.kind() {
            // A wrong password, an unknown virtual host, or a missing permission.
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => ErrorKind::Denied,
            // The broker is shutting down or lacks a resource, or an operator closed the connection.
            AMQPErrorKind::Hard(
                AMQPHardError::CONNECTIONFORCED
                | AMQPHardError::RESOURCEERROR
                | AMQPHardError::INTERNALERROR,
            ) => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        },
        Lapin::IOError(_)
        | Lapin::MissingHeartbeatError
        | Lapin::InvalidChannel(_)
        | Lapin::InvalidChannelState(..)
        | Lapin::InvalidConnectionState(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}
