//! Locations of objects and prefixes: `s3://bucket/key` and `file:///path`; of recordings also
//! `https://host/path`.
//!
//! ```
//! use location::Location;
//!
//! let recording: Location = "s3://calls/2026/0042.wav".parse()?;
//! assert_eq!(recording.key()?, "2026/0042.wav");
//! assert_eq!(recording.parent().unwrap().to_string(), "s3://calls/2026/");
//!
//! // A file URI is percent-encoded, a path on the command line is not.
//! let uri: Location = "file:///srv/a%20b.wav".parse()?;
//! assert_eq!(Location::from_argument("/srv/a b.wav")?, uri);
//!
//! // A job names objects only, and leaves space for the extension of the transcript.
//! assert!(Location::parse_object("s3://calls/2026/", ".json".len()).is_err());
//!
//! // A URL may contain a secret, which is not shown.
//! let presigned: Location = "https://calls.example.org/0042.wav?X-Amz-Signature=1f".parse()?;
//! assert_eq!(presigned.to_string(), "https://calls.example.org/0042.wav?…");
//! assert_eq!(presigned.to_uri(), "https://calls.example.org/0042.wav?X-Amz-Signature=1f");
//! # Ok::<(), location::Error>(())
//! ```

mod error;
mod grammar;
mod http_url;

pub use error::{Error, ErrorKind};
pub use grammar::check_file_key;
pub use http_url::{HttpUrl, MAX_URL_BYTES, shown};

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use percent_encoding::percent_encode;

use grammar::{
    ENCODED_IN_PATHS, MAX_KEY_BYTES, MAX_PATH_BYTES, check_bucket, decode_path, resolve_parent_dirs,
};

/// Location of an object or a prefix.
///
/// As text, an S3 key is literal: no character in it is escaped or decoded. A `file://` URI is
/// percent-encoded ([RFC 8089]), so every path has one, whether it is UTF-8 or not.
///
/// A location that ends in `/` is a prefix, and so is a whole bucket: it stands for all objects
/// below it. A URL of `http` or `https` never is: it names one recording, and nothing can be written to it.
///
/// It prints without what may be secret in a URL; [`Location::to_uri`] returns the whole.
///
/// There are three ways to read one:
///
/// | constructor | accepts | used for |
/// | --- | --- | --- |
/// | [`str::parse`] | URIs of objects and prefixes | messages, records |
/// | [`Location::parse_object`] | URIs of objects only | validation of jobs |
/// | [`Location::from_argument`], [`Location::from_os_argument`] | URIs and plain paths | command line, configuration |
///
/// [RFC 8089]: https://www.rfc-editor.org/rfc/rfc8089
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A key in a bucket, or the bucket itself if the key is empty.
    S3 { bucket: String, key: String },
    /// An absolute path.
    File(PathBuf),
    /// A recording on a web server.
    Http(HttpUrl),
}

impl Location {
    /// Returns the location of an object in a bucket, or of the bucket if `key` is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Bucket`] or [`ErrorKind::KeyTooLong`].
    pub fn s3(bucket: &str, key: &str) -> Result<Self, Error> {
        let location = Self::S3 { bucket: bucket.into(), key: key.into() };
        check_bucket(bucket).map_err(|kind| kind.of(location.to_string()))?;
        if key.len() > MAX_KEY_BYTES {
            return Err(ErrorKind::KeyTooLong { max: MAX_KEY_BYTES }.of(location.to_string()));
        }
        Ok(location)
    }

    /// Returns the location of a local path, made absolute. `..` is resolved as the file system
    /// does: after a symbolic link, it is the parent of the folder that the link points to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Empty`], [`ErrorKind::Nul`], or [`ErrorKind::CurrentDirectory`] if the path is
    /// relative and the current directory is gone.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let refuse = |kind: ErrorKind| kind.of(path.to_string_lossy());
        if path.as_os_str().is_empty() {
            return Err(refuse(ErrorKind::Empty));
        }
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(refuse(ErrorKind::Nul));
        }
        let absolute = std::path::absolute(path)
            .map_err(|error| refuse(ErrorKind::CurrentDirectory(error)))?;
        Ok(Self::File(resolve_parent_dirs(absolute)))
    }

    /// Parses a URI or a plain path, as written on the command line or in the configuration. A
    /// plain path is literal: it is not percent-decoded.
    ///
    /// # Errors
    ///
    /// As [`str::parse`] and [`Location::from_path`], and [`ErrorKind::UnsupportedScheme`] for a
    /// URI of another scheme.
    pub fn from_argument(text: &str) -> Result<Self, Error> {
        if text.starts_with("s3://") || text.starts_with("file://") || http_url::is_http(text) {
            return text.parse();
        }
        let scheme_chars = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if let Some((scheme, _)) = text.split_once("://")
            && !scheme.is_empty()
            && scheme.chars().all(scheme_chars)
        {
            return Err(ErrorKind::UnsupportedScheme(scheme.to_owned()).of(text));
        }
        Self::from_path(text)
    }

    /// Parses an argument of the command line, which may be a path that is not UTF-8.
    ///
    /// # Errors
    ///
    /// As [`Location::from_argument`].
    pub fn from_os_argument(text: &OsStr) -> Result<Self, Error> {
        text.to_str().map_or_else(|| Self::from_path(text), Self::from_argument)
    }

    /// Parses a URI that must name an object to whose key or path `appended` bytes can be added
    /// within the limits: 1024 bytes for an S3 key, 4096 for a path without its leading slash.
    ///
    /// Looks nothing up, so the result is the same on every machine: `..` in a path stays as it is.
    ///
    /// The rules are those of [`str::parse`], with these exceptions. A prefix, a bucket and a NUL
    /// character in a key are refused. `file://localhost/` is refused, so a file has one spelling.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`] of a URI.
    pub fn parse_object(uri: &str, appended: usize) -> Result<Self, Error> {
        Self::object(uri, appended).map_err(|kind| kind.of(shown(uri)))
    }

    fn object(uri: &str, appended: usize) -> Result<Self, ErrorKind> {
        let location = if let Some(rest) = uri.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').ok_or(ErrorKind::NoKey)?;
            check_bucket(bucket)?;
            Self::S3 { bucket: bucket.into(), key: key.into() }
        } else if let Some(path) = uri.strip_prefix("file://") {
            Self::File(decode_path(path)?)
        } else if http_url::is_http(uri) {
            // Nothing is appended to it.
            return HttpUrl::parse(uri).map(Self::Http);
        } else {
            return Err(ErrorKind::NotAUri);
        };
        let (name, max) = match &location {
            Self::Http(_) => return Ok(location),
            Self::S3 { key, .. } => (key.as_bytes(), MAX_KEY_BYTES),
            Self::File(path) => {
                let path = path.as_os_str().as_bytes();
                let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
                (&path[slashes..], MAX_PATH_BYTES)
            }
        };
        if name.is_empty() {
            return Err(ErrorKind::Empty);
        }
        if name.contains(&0) {
            return Err(ErrorKind::Nul);
        }
        if name.ends_with(b"/") {
            return Err(ErrorKind::Prefix);
        }
        if name.len() + appended > max {
            let max = max.saturating_sub(appended);
            return Err(match location {
                Self::S3 { .. } => ErrorKind::KeyTooLong { max },
                Self::File(_) | Self::Http(_) => ErrorKind::PathTooLong { max },
            });
        }
        Ok(location)
    }

    /// Returns the URI, with everything that is secret in it: for messages, and for whoever opens the
    /// location. Elsewhere, the location is printed.
    pub fn to_uri(&self) -> String {
        match self {
            Self::Http(url) => url.reveal().to_string(),
            Self::S3 { .. } | Self::File(_) => self.to_string(),
        }
    }

    /// Returns the key in the bucket, or the path without its leading slash: the name under which a
    /// store knows this object or prefix. That of a URL is [`HttpUrl::name`], which says less than the URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotUtf8`]: a path that is not UTF-8 has no key.
    pub fn key(&self) -> Result<&str, Error> {
        match self {
            Self::S3 { key, .. } => Ok(key),
            Self::File(path) => match path.to_str() {
                Some(path) => Ok(path.strip_prefix('/').unwrap_or(path)),
                None => Err(ErrorKind::NotUtf8.of(self.to_string())),
            },
            Self::Http(url) => Ok(url.name()),
        }
    }

    /// Whether this is written as a prefix: with `/` at its end, or as a bucket without a key.
    pub fn is_prefix(&self) -> bool {
        match self {
            Self::S3 { key, .. } => key.is_empty() || key.ends_with('/'),
            Self::File(path) => path.as_os_str().as_bytes().ends_with(b"/"),
            Self::Http(_) => false,
        }
    }

    /// Returns the same location as a prefix: `s3://bucket/a` becomes `s3://bucket/a/`, which does
    /// not include `s3://bucket/ab`. A URL stays as it is.
    pub fn as_prefix(&self) -> Self {
        let mut location = self.clone();
        if !self.is_prefix() {
            match &mut location {
                Self::S3 { key, .. } => key.push('/'),
                Self::File(path) => path.as_mut_os_string().push("/"),
                Self::Http(_) => {}
            }
        }
        location
    }

    /// Returns the prefix that contains this location; `None` for a bucket, the root and a URL.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::S3 { key, .. } if key.is_empty() => None,
            Self::S3 { bucket, key } => {
                let name = key.strip_suffix('/').unwrap_or(key);
                let end = name.rfind('/').map_or(0, |slash| slash + 1);
                Some(Self::S3 { bucket: bucket.clone(), key: key[..end].into() })
            }
            Self::File(path) => Some(Self::File(path.parent()?.to_owned()).as_prefix()),
            Self::Http(_) => None,
        }
    }

    /// Returns the last part of the key or path, for display.
    pub fn file_name(&self) -> Cow<'_, str> {
        match self {
            Self::S3 { key, .. } => {
                let name = key.strip_suffix('/').unwrap_or(key);
                name[name.rfind('/').map_or(0, |slash| slash + 1)..].into()
            }
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy(),
            Self::Http(url) => {
                let name = url.name();
                name[name.rfind('/').map_or(0, |slash| slash + 1)..].into()
            }
        }
    }

    /// Appends `relative`, a key with `/` between its parts, to this location as a prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyName`]; for S3, [`ErrorKind::KeyTooLong`]; for a local path, the errors of
    /// [`check_file_key`]: the result is always below this location; for a URL, [`ErrorKind::ReadOnly`].
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        match self.as_prefix() {
            _ if relative.is_empty() => Err(ErrorKind::EmptyName.of(self.to_string())),
            Self::S3 { bucket, key } => Self::s3(&bucket, &format!("{key}{relative}")),
            Self::File(path) => {
                check_file_key(relative.strip_suffix('/').unwrap_or(relative))
                    .map_err(|kind| kind.of(format!("{self}/{relative}")))?;
                Ok(Self::File(path.join(relative)))
            }
            Self::Http(_) => Err(ErrorKind::ReadOnly.of(self.to_string())),
        }
    }

    /// Returns the part of the key below `base`: the name that a mirror of `base` keeps. `None` if
    /// this location is not below `base`.
    ///
    /// If `base` is the object itself, or only the beginning of its name (`s3://bucket/2026-` and
    /// `s3://bucket/2026-01/a.wav`), the part is relative to the parent of `base`.
    pub fn relative_to(&self, base: &Self) -> Option<&str> {
        if !self.same_store(base) {
            return None;
        }
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

    /// Whether both are in S3, both in the file system, or both on web servers.
    pub fn same_service(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether both are in the same bucket, or both in the file system.
    pub fn same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket, .. }, Self::S3 { bucket: other, .. }) => bucket == other,
            (Self::File(_), Self::File(_)) => true,
            _ => false,
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Parses a URI, `s3://` or `file://`, of an object or a prefix, or the URL of a recording. `..` in a
    /// path is resolved as in [`Location::from_path`].
    fn from_str(uri: &str) -> Result<Self, Error> {
        if let Some(rest) = uri.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            return Self::s3(bucket, key);
        }
        if let Some(rest) = uri.strip_prefix("file://") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return Self::from_path(decode_path(path).map_err(|kind| kind.of(uri))?);
        }
        if http_url::is_http(uri) {
            return HttpUrl::parse(uri).map(Self::Http).map_err(|kind| kind.of(shown(uri)));
        }
        Err(ErrorKind::NotAUri.of(uri))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::File(path) => {
                let path = path.as_os_str().as_bytes();
                write!(f, "file://{}", percent_encode(path, ENCODED_IN_PATHS))
            }
            Self::Http(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
