//! Errors of locations: the offending text and the reason.

use std::io;

/// Text that is not a valid location.
#[derive(Debug, thiserror::Error)]
#[error("{text:?}: {kind}")]
pub struct Error {
    pub kind: ErrorKind,
    /// The text as given, or the location for which an operation failed. Without what may be secret in a URL.
    pub text: String,
}

/// Reason why a location is not valid. The message names the correct form, if there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    #[error("none of s3://bucket/key, file:///path and https://host/path")]
    NotAUri,
    #[error("not a valid URL: https://host/path, with %20 for a space")]
    NotAUrl,
    #[error("the URL is longer than {max} bytes")]
    UrlTooLong { max: usize },
    #[error("recordings can be read from a URL, and nothing can be written to it")]
    ReadOnly,
    #[error(
        "{0}:// is not supported: use s3://bucket/key, file:///path, https://host/path or a path"
    )]
    UnsupportedScheme(String),
    #[error("bucket name {bucket:?} {reason}")]
    Bucket { bucket: String, reason: &'static str },
    #[error("no key follows the bucket")]
    NoKey,
    #[error("the key or path is empty")]
    Empty,
    #[error("the key is longer than {max} bytes")]
    KeyTooLong { max: usize },
    #[error("the path is longer than {max} bytes")]
    PathTooLong { max: usize },
    #[error("contains a NUL character")]
    Nul,
    #[error("ends in a slash: this is a prefix, not an object")]
    Prefix,
    #[error("a file URI has three slashes and an absolute path: file:///folder/name")]
    NotAbsolute,
    #[error("in a file URI '?' is written %3F and '#' %23")]
    QueryOrFragment,
    #[error("in a file URI '%' is followed by two hexadecimal digits; '%' itself is written %25")]
    PercentEncoding,
    #[error("the path is not UTF-8: rename it")]
    NotUtf8,
    #[error("the path has an empty part: a file path has single slashes between its parts")]
    EmptyPart,
    #[error("the path has a part '.' or '..', which local files refuse")]
    DotPart,
    #[error("the name to append is empty")]
    EmptyName,
    #[error("the current directory is not available")]
    CurrentDirectory(#[source] io::Error),
}

impl ErrorKind {
    /// Attaches the offending text.
    pub(crate) fn of(self, text: impl Into<String>) -> Error {
        Error { kind: self, text: text.into() }
    }
}
