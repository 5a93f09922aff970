//! The rules for buckets, keys and paths.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str};

use crate::ErrorKind;

/// S3's limit for a key, in bytes of UTF-8.
pub(crate) const MAX_KEY_BYTES: usize = 1024;
/// Limit for a file's path without its leading slash: `PATH_MAX` of Linux.
pub(crate) const MAX_PATH_BYTES: usize = 4096;
/// Limit for a bucket name, from the buckets that Amazon created before 2018.
const MAX_BUCKET_BYTES: usize = 255;

/// The characters that RFC 3986 requires to be percent-encoded in a path.
pub(crate) const ENCODED_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
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

/// Checks a bucket name.
///
/// The rules are wider than Amazon's for new buckets (3 to 63 lower-case letters, digits, `.` and
/// `-`): buckets that Amazon created before 2018 may have upper-case letters, underscores and up to
/// 255 characters, and other S3 servers allow them still. Names that begin with `.` or contain `..`
/// are refused, because with path-style addressing the name is a part of the URL's path, where `.`
/// and `..` would lead to another bucket, and because with virtual-hosted addressing it would be
/// an empty label of the host name. Servers also keep internal data under names such as
/// `.minio.sys`. Names that begin with `-` are refused because no server creates them, and tools
/// read them as options.
pub(crate) fn check_bucket(bucket: &str) -> Result<(), ErrorKind> {
    let refuse = |reason| Err(ErrorKind::Bucket { bucket: bucket.to_owned(), reason });
    if !(1..=MAX_BUCKET_BYTES).contains(&bucket.len()) {
        return refuse("is not 1 to 255 characters long");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !bucket.chars().all(allowed) {
        return refuse("contains characters other than letters, digits, '.', '-' and '_'");
    }
    if bucket.starts_with(['.', '-']) {
        return refuse("begins with '.' or '-'");
    }
    if bucket.contains("..") {
        return refuse("contains two dots in a row");
    }
    Ok(())
}

/// Checks that a key is a path below a folder. Any other key would name a file other than the one
/// it spells, or one outside of the folder.
///
/// # Errors
///
/// [`ErrorKind::Empty`], [`ErrorKind::Nul`], [`ErrorKind::EmptyPart`] or [`ErrorKind::DotPart`].
pub fn check_file_key(key: &str) -> Result<(), ErrorKind> {
    if key.is_empty() {
        return Err(ErrorKind::Empty);
    }
    if key.contains('\0') {
        return Err(ErrorKind::Nul);
    }
    for part in key.split('/') {
        match part {
            "" => return Err(ErrorKind::EmptyPart),
            "." | ".." => return Err(ErrorKind::DotPart),
            _ => {}
        }
    }
    Ok(())
}

/// Decodes the path of a file URI: the text after `file://`, or after `file://localhost`.
pub(crate) fn decode_path(path: &str) -> Result<PathBuf, ErrorKind> {
    if !path.starts_with('/') {
        return Err(ErrorKind::NotAbsolute);
    }
    if path.contains(['?', '#']) {
        return Err(ErrorKind::QueryOrFragment);
    }
    for escape in path.split('%').skip(1) {
        match escape.as_bytes() {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(ErrorKind::PercentEncoding),
        }
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return Err(ErrorKind::Nul);
    }
    Ok(OsString::from_vec(bytes).into())
}

/// Resolves `..` in an absolute path as the file system does: after a symbolic link, `..` is the
/// parent of the folder that the link points to.
pub(crate) fn resolve_parent_dirs(path: PathBuf) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let mut resolved = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            // A path that does not exist is not a link, and is resolved as text.
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
