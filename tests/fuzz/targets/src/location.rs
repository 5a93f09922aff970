//! Locations, as messages, records, manifests and arguments spell them.

use ::location::Location;

/// Longest name that is appended to the output of a job.
const APPENDED: usize = 40;

/// Parses a location in each of the ways in which one is read.
pub fn location(bytes: &[u8]) {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    if let Ok(location) = Location::from_os_argument(OsStr::from_bytes(bytes)) {
        check(&location);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(location) = text.parse::<Location>() {
        check(&location);
    }
    if let Ok(location) = Location::parse_object(text, APPENDED) {
        assert!(!location.is_prefix(), "{location}");
        let again = Location::parse_object(&location.to_string(), APPENDED);
        assert_eq!(again.ok().as_ref(), Some(&location));
        let longer = Location::parse_object(&format!("{location}{}", "x".repeat(APPENDED)), 0);
        assert!(longer.is_ok(), "{location}");
    }
    // As the name of an object below a prefix.
    for base in ["s3://bucket/prefix", "file:///folder"] {
        let base: Location = base.parse().unwrap_or_else(|error| panic!("{error}"));
        if let Ok(below) = base.join(text) {
            assert_eq!(below.relative_to(&base.as_prefix()), Some(text), "{below}");
            assert!(below.same_store(&base));
        }
    }
}

fn check(location: &Location) {
    let again: Result<Location, _> = location.to_string().parse();
    assert_eq!(again.ok().as_ref(), Some(location), "is printed as it is not parsed");
    let prefix = location.as_prefix();
    assert!(prefix.is_prefix() && prefix.same_store(location) && prefix.as_prefix() == prefix);
    if let (Some(parent), Ok(key)) = (location.parent(), location.key()) {
        assert!(parent.is_prefix(), "{parent}");
        let below = location.relative_to(&parent);
        assert!(below.is_some_and(|below| key.ends_with(below)), "{location} below {parent}");
    }
    assert!(!location.file_name().contains('/'));
}
