#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: Kind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The broker cannot be reached or broke off: worth another try.
    Unavailable,
    /// Wrong password, or no right to the queue.
    Denied,
    /// The broker took the message but no queue did.
    Unroutable,
    /// The broker refused the message (queue full).
    Refused,
    /// The connection that held the lease is gone; the message will be delivered again.
    LeaseLost,
    /// A queue exists with other properties than ours.
    Mismatch,
    Other,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Refused | Kind::LeaseLost)
    }
}
