/// A failed operation on one object.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {uri}: {message}")]
pub struct Error {
    pub kind: Kind,
    pub operation: &'static str,
    pub uri: String,
    pub message: String,
}

/// What went wrong, as far as the caller's next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    NotFound,
    Denied,
    /// The object is not the one that was opened.
    Changed,
    /// A conditional write met an object (or another object) in its place.
    Precondition,
    TooLarge,
    /// The disk, or the quota, is full.
    Full,
    /// Not a URI or a key that this store can hold.
    Invalid,
    /// The store cannot be reached, is overloaded, or broke off: worth another try.
    Unavailable,
    Other,
}

impl Error {
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Changed | Kind::Full)
    }
}
