//! How recordings are called on the screen: as people know them, and not as URIs.

use std::path::Path;

use errors::printable;
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
}
