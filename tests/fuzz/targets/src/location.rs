//! Locations, as messages, records, manifests and arguments spell them.

use ::location::{HttpUrl, Location};

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
        let again = Location::parse_object(&location.to_uri(), APPENDED);
        assert_eq!(again.ok().as_ref(), Some(&location));
        let longer = Location::parse_object(&format!("{location}{}", "x".repeat(APPENDED)), 0);
        assert!(longer.is_ok() || matches!(location, Location::Http(_)), "{location}");
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
    let again: Result<Location, _> = location.to_uri().parse();
    assert_eq!(again.ok().as_ref(), Some(location), "is printed as it is not parsed");
    if let Location::Http(url) = location {
        check_url(url);
        return;
    }
    let prefix = location.as_prefix();
    assert!(prefix.is_prefix() && prefix.same_store(location) && prefix.as_prefix() == prefix);
    if let (Some(parent), Ok(key)) = (location.parent(), location.key()) {
        assert!(parent.is_prefix(), "{parent}");
        let below = location.relative_to(&parent);
        assert!(below.is_some_and(|below| key.ends_with(below)), "{location} below {parent}");
    }
    assert!(!location.file_name().contains('/'));
}

fn check_url(url: &HttpUrl) {
    // Whatever way it is spelled, neither user nor query is shown.
    let shown = url.to_string();
    let query = shown.split_once('?').map(|(_, query)| query);
    assert_eq!(query, url.reveal().query().map(|_| "…"), "{shown}");
    assert!(!shown.split('/').nth(2).is_some_and(|host| host.contains('@')), "{shown}");
    let is_safe = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    assert!(url.name().split('/').all(is_safe), "{}", url.name());
}
