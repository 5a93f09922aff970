//! How errors and text of others are printed for people: with the chain of causes, and without
//! control characters.

use std::{
    borrow::Cow,
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

/// Returns text of others, such as a key or a server's message, as part of one line: control
/// characters and those that change the direction of text are escaped. They could forge a log line,
/// or command the terminal.
///
/// ```
/// assert_eq!(errors::printable("a\n\u{1b}[31m é.wav"), "a\\n\\u{1b}[31m é.wav");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    Cow::Owned(printable)
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn text_of_others_stays_in_its_line() {
        assert!(matches!(printable("録音 – запись.opus"), Cow::Borrowed(_)));
        assert_eq!(printable("a\r\u{9b}31m"), "a\\r\\u{9b}31m");
        assert_eq!(printable("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
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
