use std::{
    borrow::Cow,
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::{Error, Kind, local};

/// An object or a prefix: `s3://bucket/key`, `file:///absolute/path`, or a path.
///
/// As text, an S3 key is literal: nothing in it is escaped or decoded, whatever its characters. A
/// `file://` URI is percent-encoded ([RFC 8089]), so that every path has one, valid UTF-8 or not. A
/// plain path is literal, and is made absolute when parsed.
///
/// A location that ends in `/`, or is a whole bucket, is a prefix: it stands for what is below it.
///
/// [RFC 8089]: https://www.rfc-editor.org/rfc/rfc8089
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    S3 { bucket: String, key: String },
    File(PathBuf),
}

/// S3's limit for the length of a key in UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// What RFC 3986 wants encoded in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

impl Location {
    /// An object in a bucket, or with an empty key the bucket.
    pub fn s3(bucket: &str, key: &str) -> Result<Self, Error> {
        let location = Self::S3 { bucket: bucket.into(), key: key.into() };
        let bucket_chars = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || bucket.len() > 255 || !bucket.chars().all(bucket_chars) {
            let why = "the bucket's name must be 1 to 255 letters, digits, '.', '-' or '_'";
            return Err(invalid(location.to_string(), why));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(invalid(location.to_string(), "the key is longer than 1024 bytes"));
        }
        Ok(location)
    }

    /// A local path, made absolute. `..` is resolved as the file system does, so that it leads to
    /// the parent of what a symbolic link points to.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let refuse = |why: String| invalid(path.to_string_lossy(), why);
        if path.as_os_str().is_empty() {
            return Err(refuse("a path must not be empty".into()));
        }
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(refuse("a path cannot hold a NUL byte".into()));
        }
        let absolute = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
        Ok(Self::File(without_parent_dirs(absolute)))
    }

    /// The key in the bucket, or the path without its leading slash: what a [`Store`](crate::Store)
    /// calls this object or prefix. A path that is not UTF-8 has none.
    pub fn key(&self) -> Result<&str, Error> {
        match self {
            Self::S3 { key, .. } => Ok(key),
            Self::File(path) => match path.to_str() {
                Some(path) => Ok(path.strip_prefix('/').unwrap_or(path)),
                None => Err(invalid(self.to_string(), "the path is not UTF-8: rename it")),
            },
        }
    }

    /// Whether this is written as a prefix: with a `/` at its end, or a bucket without a key.
    pub fn is_prefix(&self) -> bool {
        match self {
            Self::S3 { key, .. } => key.is_empty() || key.ends_with('/'),
            Self::File(path) => path.as_os_str().as_bytes().ends_with(b"/"),
        }
    }

    /// The same as a prefix: `s3://bucket/a` becomes `s3://bucket/a/`, which is not the prefix of
    /// `s3://bucket/ab`.
    pub fn as_prefix(&self) -> Self {
        let mut location = self.clone();
        if !self.is_prefix() {
            match &mut location {
                Self::S3 { key, .. } => key.push('/'),
                Self::File(path) => path.as_mut_os_string().push("/"),
            }
        }
        location
    }

    /// The prefix that this lies in; none above a bucket and the root.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::S3 { key, .. } if key.is_empty() => None,
            Self::S3 { bucket, key } => {
                let name = key.strip_suffix('/').unwrap_or(key);
                let end = name.rfind('/').map_or(0, |slash| slash + 1);
                Some(Self::S3 { bucket: bucket.clone(), key: key[..end].into() })
            }
            Self::File(path) => Some(Self::File(path.parent()?.to_owned()).as_prefix()),
        }
    }

    /// The last part of the key or path, for people to read.
    pub fn file_name(&self) -> Cow<'_, str> {
        match self {
            Self::S3 { key, .. } => {
                let name = key.strip_suffix('/').unwrap_or(key);
                name[name.rfind('/').map_or(0, |slash| slash + 1)..].into()
            }
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy(),
        }
    }

    /// What lies below this under `relative`, a key with `/` between its parts. A local path takes
    /// no part that is empty, `.` or `..`: nothing that is joined leaves it.
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        match self.as_prefix() {
            _ if relative.is_empty() => {
                Err(invalid(self.to_string(), "nothing to join: the name is empty"))
            }
            Self::S3 { bucket, key } => Self::s3(&bucket, &format!("{key}{relative}")),
            Self::File(path) => {
                local::check_key(relative.strip_suffix('/').unwrap_or(relative))
                    .map_err(|why| invalid(format!("{self}/{relative}"), why))?;
                Ok(Self::File(path.join(relative)))
            }
        }
    }

    /// The part of the key that says where below `base` this lies: what a mirror of `base` keeps.
    /// For an object that is `base` itself, or that only shares the beginning of its name with it
    /// (`s3://bucket/2026-` and `s3://bucket/2026-01/a.wav`), it counts from the parent of `base`.
    pub fn relative_to(&self, base: &Self) -> Option<&str> {
        match (self, base) {
            (Self::S3 { bucket, .. }, Self::S3 { bucket: other, .. }) if bucket != other => None,
            (Self::S3 { .. }, Self::S3 { .. }) | (Self::File(_), Self::File(_)) => {
                let (key, base) = (self.key().ok()?, base.key().ok()?);
                let rest = key.strip_prefix(base)?;
                if base.is_empty() || base.ends_with('/') {
                    return Some(rest);
                }
                rest.strip_prefix('/').or_else(|| {
                    let parent = base.rfind('/').map_or(0, |slash| slash + 1);
                    Some(&key[parent..])
                })
            }
            _ => None,
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            return Self::s3(bucket, key);
        }
        if let Some(rest) = text.strip_prefix("file://") {
            return Self::from_path(path_of_file_uri(rest).map_err(|why| invalid(text, why))?);
        }
        let scheme_chars = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if let Some((scheme, _)) = text.split_once("://")
            && !scheme.is_empty()
            && scheme.chars().all(scheme_chars)
        {
            return Err(invalid(
                text,
                format!("{scheme}:// is not supported: use s3://bucket/key, file:// or a path"),
            ));
        }
        Self::from_path(text)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::File(path) => {
                write!(f, "file://{}", percent_encode(path.as_os_str().as_bytes(), PATH))
            }
        }
    }
}

fn path_of_file_uri(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file URI has three slashes and an absolute path: file:///folder/name");
    }
    if path.contains(['?', '#']) {
        return Err("in a file URI '?' is written %3F and '#' %23");
    }
    let hex = |digit: Option<&u8>| digit.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    let escape = |i: usize| hex(bytes.get(i + 1)) && hex(bytes.get(i + 2));
    if (0..bytes.len()).any(|i| bytes[i] == b'%' && !escape(i)) {
        return Err("in a file URI '%' is followed by two hexadecimal digits; itself it is %25");
    }
    Ok(OsString::from_vec(percent_decode_str(path).collect()).into())
}

fn without_parent_dirs(path: PathBuf) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let mut resolved = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            // What does not exist is no link, and is resolved as text.
            resolved = resolved.canonicalize().unwrap_or(resolved);
            resolved.pop();
        } else {
            resolved.push(part);
        }
    }
    if path.as_os_str().as_bytes().ends_with(b"/") {
        resolved.push("");
    }
    resolved
}

fn invalid(uri: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "name", uri, message)
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
