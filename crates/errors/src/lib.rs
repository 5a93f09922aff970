//! Prints an error with the chain of its causes.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
};

/// Prints an error and the chain of its sources, joined by ": ".
///
/// A source whose text the message before it quotes already is left out: errors of other libraries
/// often repeat their source.
///
/// ```
/// use std::{fmt, io};
///
/// use errors::Chain;
///
/// #[derive(Debug)]
/// struct Unreadable(io::Error);
///
/// impl fmt::Display for Unreadable {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("a.wav cannot be read")
///     }
/// }
///
/// impl std::error::Error for Unreadable {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let error = Unreadable(io::Error::other("the disk is broken"));
/// assert_eq!(Chain(&error).to_string(), "a.wav cannot be read: the disk is broken");
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a dyn Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut before = self.0.to_string();
        f.write_str(&before)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            let text = source.to_string();
            if !text.is_empty() && !before.contains(&text) {
                write!(f, ": {text}")?;
                before = text;
            }
            next = source.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl Display for Outer {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn every_cause_is_printed_once() {
        let disk = || io::Error::other("disk is broken");
        let plain = Outer("cannot read a.wav", disk());
        assert_eq!(Chain(&plain).to_string(), "cannot read a.wav: disk is broken");
        let quoted = Outer("cannot read a.wav: disk is broken", disk());
        assert_eq!(Chain(&quoted).to_string(), "cannot read a.wav: disk is broken");
        assert_eq!(Chain(&Outer("cannot read", io::Error::other(""))).to_string(), "cannot read");
    }
}
