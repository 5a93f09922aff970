//! How recordings are called on the screen: as people know them, and not as URIs.

use std::{borrow::Cow, path::Path};

use errors::printable;
use job::Failure;
use location::Location;

/// Returns the name of a recording, given by its URI or as it was typed: the path of a file, below the
/// current directory if it is there; everything else as it is.
pub(crate) fn shown(source: &str) -> String {
    let path = match source.parse() {
        Ok(Location::File(path)) if source.starts_with("file://") => path,
        _ => return printable(source).into_owned(),
    };
    let below = std::env::current_dir().ok();
    let below = below.as_deref().and_then(|directory| path.strip_prefix(directory).ok());
    let path: &Path = match below {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => &path,
    };
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns the message of a failure without the name of its recording, which stands before it.
pub(crate) fn message(failure: &Failure) -> Cow<'_, str> {
    let uri = match Location::from_argument(&failure.source) {
        Ok(location) => location.to_string(),
        Err(_) => failure.source.clone(),
    };
    // As errors of the store say it: `head file:///a.wav: there is no such file or folder`.
    let named = format!(" {}: ", printable(&uri));
    let message = match failure.message.split_once(&named) {
        Some((operation, rest)) if operation.bytes().all(|byte| byte.is_ascii_lowercase()) => rest,
        _ => &failure.message,
    };
    printable(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shown_by_their_paths() {
        assert_eq!(shown("file:///a/M%C3%BCller%20%231.wav"), "/a/Müller #1.wav");
        let here = std::env::current_dir().unwrap().join("b/c.wav");
        assert_eq!(shown(&Location::File(here).to_string()), "b/c.wav");
        assert_eq!(shown("s3://bucket/M%C3.wav"), "s3://bucket/M%C3.wav");
        assert_eq!(shown("talk.wav"), "talk.wav");
        assert!(!shown("file:///a%0Ab").contains('\n'));
    }

    #[test]
    fn a_message_does_not_repeat_the_name_of_the_recording() {
        let short = |source: &str, text: &str| {
            let (source, text) = (source.to_owned(), text.to_owned());
            let code = job::FailureCode::SourceMissing;
            message(&Failure { code, source, message: text }).into_owned()
        };
        assert_eq!(short("/a b.wav", "head file:///a%20b.wav: gone"), "gone");
        assert_eq!(short("s3://b/k", "head s3://b/k: gone: on fire"), "gone: on fire");
        let other = "head s3://b/other: gone";
        assert_eq!(short("s3://b/k", other), other);
        assert_eq!(short("", "parse : not a location"), "not a location");
    }
}
