//! What the header of a response says about a recording. All of it may be a lie.

use std::{ops::Range, time::SystemTime};

use reqwest::{
    Response, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    },
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::error::Operation;
use crate::{Error, ErrorKind};

/// Longest ETag that is kept: it becomes a part of the transcript.
const MAX_ETAG_BYTES: usize = 256;
/// Begins the value that stands for the ETag of a server that sends none.
const MODIFIED: &str = "modified:";

/// A description of a recording.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// The part of the recording that the response contains; `None`: all of it.
    pub(super) range: Option<Range<u64>>,
    /// Size of the recording in bytes.
    pub(super) size: Option<u64>,
    /// Without the quotes around it; with `W/` if it is a weak one.
    etag: Option<String>,
    /// As it was sent.
    last_modified: Option<String>,
    pub(super) modified: Option<SystemTime>,
}

impl Described {
    /// Returns what changes whenever the recording does, as far as the server says: the ETag, as S3 has it, or
    /// else time of modification and size.
    pub(super) fn identity(&self) -> Option<String> {
        let by_time =
            || Some(format!("{MODIFIED}{}; {} bytes", self.last_modified.as_ref()?, self.size?));
        self.etag.clone().or_else(by_time)
    }
}

/// Returns the header and the value of the condition that a recording still has this identity; `None` if a
/// request cannot say it.
pub(super) fn condition(identity: &str) -> Option<(HeaderName, String)> {
    if let Some(modified) = identity.strip_prefix(MODIFIED) {
        let (time, _) = modified.split_once(';')?;
        return Some((reqwest::header::IF_UNMODIFIED_SINCE, time.to_owned()));
    }
    // `If-Match` with a weak ETag never holds.
    let is_weak = identity.starts_with("W/");
    (!is_weak).then(|| (reqwest::header::IF_MATCH, format!("\"{identity}\"")))
}

impl Operation {
    /// Reads the header of a response.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] if it contradicts itself, and [`ErrorKind::Invalid`] if the body is compressed.
    pub(super) fn describe(&self, response: &Response) -> Result<Described, Error> {
        self.described(response.status(), response.headers())
    }

    fn described(&self, status: StatusCode, headers: &HeaderMap) -> Result<Described, Error> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
        if let Some(encoding) = text(CONTENT_ENCODING)
            && !encoding.is_empty()
            && !encoding.eq_ignore_ascii_case("identity")
        {
            let encoding: String = encoding.chars().take(40).collect();
            let message =
                format!("the server sends it compressed ({encoding}), which was not asked for");
            return Err(self.error(ErrorKind::Invalid, message));
        }
        let (range, size) = match status {
            StatusCode::PARTIAL_CONTENT => {
                let invalid = || self.error(ErrorKind::Other, "the content range is not valid");
                let content_range = text(CONTENT_RANGE).ok_or_else(invalid)?;
                let (range, size) = parse_range(content_range).ok_or_else(invalid)?;
                (Some(range), size)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let size = text(CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes */"));
                (None, size.and_then(|size| size.parse().ok()))
            }
            _ => (None, text(CONTENT_LENGTH).and_then(|length| length.parse().ok())),
        };
        let last_modified = text(LAST_MODIFIED).filter(|time| time.len() <= 64);
        let etag = text(ETAG).filter(|etag| (1..=MAX_ETAG_BYTES).contains(&etag.len()));
        Ok(Described {
            range,
            size,
            etag: etag.map(unquoted),
            last_modified: last_modified.map(str::to_owned),
            modified: last_modified.and_then(parse_time),
        })
    }
}

/// Parses `bytes 0-99/1000`; the size may be `*`.
fn parse_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let size: Option<u64> = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    let is_valid = first <= last && last < size.unwrap_or(u64::MAX);
    is_valid.then_some((first..last.checked_add(1)?, size))
}

fn parse_time(text: &str) -> Option<SystemTime> {
    // The form that servers must send (RFC 9110) is one of those of mail.
    OffsetDateTime::parse(text, &Rfc2822).ok().map(Into::into)
}

fn unquoted(etag: &str) -> String {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    inner.unwrap_or(etag).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: Operation = Operation { name: "read", uri: String::new() };

    fn described(status: u16, fields: &[(&str, &str)]) -> Result<Described, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        OP.described(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn content_ranges_are_read_and_checked() {
        for (text, expected) in [
            ("bytes 0-0/1", Some((0..1, Some(1)))),
            ("bytes 5-99/1000", Some((5..100, Some(1000)))),
            ("bytes 5-99/*", Some((5..100, None))),
            ("bytes 0-99/50", None),
            ("bytes 9-5/50", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-1/18446744073709551616", None),
            ("bytes -1-1/5", None),
            ("bytes */5", None),
            ("items 0-1/5", None),
            ("", None),
        ] {
            assert_eq!(parse_range(text), expected, "{text}");
            let described = described(206, &[("content-range", text)]);
            assert_eq!(described.map(|d| (d.range.unwrap(), d.size)).ok(), expected, "{text}");
        }
        assert!(described(206, &[("content-length", "5")]).is_err(), "without a range");
        assert_eq!(described(416, &[("content-range", "bytes */7")]).unwrap().size, Some(7));
        assert_eq!(described(200, &[("content-length", "7")]).unwrap().size, Some(7));
        assert_eq!(described(200, &[("content-length", "x")]).unwrap().size, None);
    }

    #[test]
    fn a_version_is_told_by_its_etag_or_else_by_time_and_size() {
        let time = "Wed, 25 Nov 2026 07:28:00 GMT";
        let of = |fields: &[(&str, &str)]| described(200, fields).unwrap();
        let both = of(&[("etag", "\"abc\""), ("last-modified", time), ("content-length", "7")]);
        assert_eq!(both.identity().as_deref(), Some("abc"), "as S3's");
        assert_eq!(
            both.modified,
            Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_591_680))
        );
        let weak = of(&[("etag", "W/\"abc\"")]).identity().unwrap();
        assert_eq!((weak.as_str(), condition(&weak)), ("W/\"abc\"", None));
        let by_time = of(&[("last-modified", time), ("content-length", "7")]).identity().unwrap();
        assert_eq!(by_time, format!("modified:{time}; 7 bytes"));
        assert_eq!(condition(&by_time).map(|(_, value)| value).as_deref(), Some(time));
        assert_eq!(condition("abc").map(|(_, value)| value).as_deref(), Some("\"abc\""));
        assert_eq!(of(&[("last-modified", time)]).identity(), None, "the size may have changed");
        assert_eq!(of(&[("etag", &"x".repeat(300))]).identity(), None);
        assert_eq!(of(&[("etag", "")]).identity(), None);
    }

    #[test]
    fn a_compressed_body_is_no_recording() {
        let error = described(200, &[("content-encoding", "gzip")]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(described(200, &[("content-encoding", "identity")]).is_ok());
    }
}
