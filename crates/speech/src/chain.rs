//! Printing an error with its causes, for tests of messages.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
};

/// Prints an error and the chain of its sources, joined by ": ", in one line.
///
/// Messages of errors leave out the text of their sources. Tests use this to check what a user sees:
/// the command line and failure records print the chain.
///
/// ```
/// use speech::{Chain, recognizer::Error};
///
/// let error = Error::Model {
///     path: "m/model.bin".into(),
///     message: "cannot be read".to_owned(),
///     cause: Some("no such file".into()),
/// };
/// assert_eq!(Chain(&error).to_string(), "model m/model.bin: cannot be read: no such file");
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a dyn Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
