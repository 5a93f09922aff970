//! What may stand where a job names an object.

/// Of an S3 key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;
/// Of a file's path: `PATH_MAX` of Linux.
const MAX_PATH_BYTES: usize = 4096;

/// Which store holds an object, and where in it. An S3 key is data, taken as it is: no escape is
/// undone and no `..` is resolved. A file's path is percent-encoded as in RFC 8089.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uri<'a> {
    S3 { bucket: &'a str, key: &'a str },
    File { path: &'a str },
}

impl<'a> Uri<'a> {
    /// `room` is the number of bytes that will be added to the key or path.
    pub(crate) fn parse(uri: &'a str, room: usize) -> Result<Self, String> {
        let (parsed, name, limit) = if let Some(rest) = uri.strip_prefix("s3://") {
            let Some((bucket, key)) = rest.split_once('/') else {
                return Err("no key follows the bucket".to_owned());
            };
            check_bucket(bucket)?;
            (Self::S3 { bucket, key }, key, MAX_KEY_BYTES)
        } else if let Some(path) = uri.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err("a file is named by three slashes and an absolute path".to_owned());
            }
            check_escapes(path)?;
            (Self::File { path }, path.trim_start_matches('/'), MAX_PATH_BYTES)
        } else {
            return Err("neither s3://bucket/key nor file:///path".to_owned());
        };
        if name.is_empty() {
            return Err("the key or path is empty".to_owned());
        }
        if name.contains('\0') {
            return Err("holds a NUL character".to_owned());
        }
        if name.ends_with('/') {
            return Err("ends in a slash, as a folder does".to_owned());
        }
        if name.len() + room > limit {
            return Err(format!("longer than {} bytes", limit - room));
        }
        Ok(parsed)
    }

    pub(crate) fn same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket, .. }, Self::S3 { bucket: other, .. }) => bucket == other,
            (Self::File { .. }, Self::File { .. }) => true,
            _ => false,
        }
    }
}

fn check_escapes(path: &str) -> Result<(), String> {
    if path.contains(['?', '#']) {
        return Err("'?' is written %3F and '#' %23 in the path of a file".to_owned());
    }
    for escape in path.split('%').skip(1) {
        match escape.as_bytes() {
            [b'0', b'0', ..] => return Err("holds a NUL character".to_owned()),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err("a percent sign without two hexadecimal digits".to_owned()),
        }
    }
    Ok(())
}

/// The rules for names of general purpose buckets in the S3 user guide, without those that reserve
/// prefixes and suffixes.
fn check_bucket(bucket: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("bucket name {bucket:?} {what}"));
    if !(3..=63).contains(&bucket.len()) {
        return fault("is not 3 to 63 characters long");
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !bucket.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '-')) {
        return fault("has other characters than lower-case letters, digits, dots and hyphens");
    }
    if !bucket.starts_with(alphanumeric) || !bucket.ends_with(alphanumeric) {
        return fault("does not begin and end with a letter or digit");
    }
    if bucket.contains("..") {
        return fault("has two dots in a row");
    }
    if bucket.parse::<std::net::Ipv4Addr>().is_ok() {
        return fault("is an IP address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_literal() {
        for key in ["a b.wav", "../../etc/passwd", "a\nb\"'.wav", "%41?x#y", "//a//b", "录音.wav"]
        {
            let uri = format!("s3://calls/{key}");
            assert_eq!(Uri::parse(&uri, 0), Ok(Uri::S3 { bucket: "calls", key }));
        }
        let uri = "file:///srv/a b/../c%20.wav";
        assert_eq!(Uri::parse(uri, 0), Ok(Uri::File { path: "/srv/a b/../c%20.wav" }));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        let long = format!("s3://calls/{}", "k".repeat(1025));
        for (uri, reason) in [
            ("", "neither s3"),
            ("/srv/a.wav", "neither s3"),
            ("S3://calls/a", "neither s3"),
            ("https://example.com/a", "neither s3"),
            ("s3://calls", "no key"),
            ("s3://calls/", "is empty"),
            ("s3:///a", "3 to 63"),
            ("s3://Calls/a", "lower-case"),
            ("s3://my_calls/a", "lower-case"),
            ("s3://-calls/a", "begin and end"),
            ("s3://ca..lls/a", "two dots"),
            ("s3://127.0.0.1/a", "IP address"),
            ("s3://calls/a\0", "NUL"),
            ("file://host/a", "three slashes"),
            ("file://a", "three slashes"),
            ("file:///", "is empty"),
            ("file:///a%2", "two hexadecimal digits"),
            ("file:///a%00", "NUL"),
            ("file:///a?b", "is written %3F"),
            ("file:///a/", "ends in a slash"),
            ("s3://calls/a/", "ends in a slash"),
            (&long, "longer than 1024 bytes"),
        ] {
            let error = Uri::parse(uri, 0).err().unwrap_or_default();
            assert!(error.contains(reason), "{uri:?}: {error:?}");
        }
        assert!(Uri::parse(&long[..long.len() - 1], 0).is_ok());
        assert!(Uri::parse(&long[..long.len() - 1], 1).is_err());
    }

    #[test]
    fn a_store_is_a_bucket_or_the_file_system() {
        let s3 = |bucket| Uri::S3 { bucket, key: "k" };
        let file = Uri::File { path: "/a" };
        assert!(s3("a").same_store(&s3("a")) && file.same_store(&Uri::File { path: "/b" }));
        assert!(!s3("a").same_store(&s3("b")) && !s3("a").same_store(&file));
    }
}
