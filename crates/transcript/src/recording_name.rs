//! The name of a recording in formats that know it by a short identifier.

use crate::text;

/// Longest name of a job in Amazon Transcribe.
const MAX_JOB_NAME: usize = 200;
/// Longest extension of a recording that is left out.
const MAX_EXTENSION: usize = 4;
/// Name of a recording whose URI gives none.
const UNNAMED: &str = "recording";

/// Returns the recording's name for NIST's formats: without folders, extension and white space.
pub(crate) fn file_id(uri: &str) -> String {
    or_unnamed(one_field(&name(uri)))
}

/// Returns a name as one field of a line in NIST's formats.
pub(crate) fn one_field(name: &str) -> String {
    // `;;` begins a comment, and some readers take quotation marks for those of a table.
    let is_separator =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ';' | '"');
    name.replace(is_separator, "_")
}

/// Returns the recording's name for people.
pub(crate) fn display_name(uri: &str) -> String {
    let name = text::clean(&name(uri));
    or_unnamed(name)
}

/// Returns the recording's name as the name of a job, of the characters that Amazon allows there.
pub(crate) fn job_name(uri: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = name(uri).replace(|c| !is_allowed(c), "-");
    or_unnamed(name.chars().take(MAX_JOB_NAME).collect())
}

fn or_unnamed(name: String) -> String {
    if name.is_empty() { UNNAMED.to_owned() } else { name }
}

/// Returns the recording's name for people, with its extension.
pub(crate) fn file_name(uri: &str) -> String {
    or_unnamed(last_part(uri))
}

/// Returns the last part of a URI without its extension.
fn name(uri: &str) -> String {
    let name = last_part(uri);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_extension(extension) => stem.to_owned(),
        _ => name,
    }
}

fn last_part(uri: &str) -> String {
    let is_http = uri.starts_with("https://") || uri.starts_with("http://");
    // `?…` stands for a query that is not shown.
    let uri = if is_http { uri.split('?').next().unwrap_or(uri) } else { uri };
    let part = &uri[uri.rfind('/').map_or(0, |slash| slash + 1)..];
    // Keys of S3 are literal.
    let is_encoded = is_http || uri.starts_with("file://");
    if is_encoded { decoded(part) } else { part.to_owned() }
}

/// Whether this is the extension of a recording rather than a part of its name, such as `3.10`.
fn is_extension(text: &str) -> bool {
    (1..=MAX_EXTENSION).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Decodes `%20` and the like. Bytes that are not UTF-8 become U+FFFD.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = match bytes.get(at + 1..at + 3) {
            Some(&[high, low]) if byte == b'%' => hex(high).zip(hex(low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_neither_folders_nor_white_space() {
        for (uri, id, job) in [
            ("s3://b/calls/0042.wav", "0042", "0042"),
            ("s3://b/a%20b c.mp3", "a%20b_c", "a-20b-c"),
            ("file:///a/my%20talk%3B.flac", "my_talk_", "my-talk-"),
            ("file:///a/a%2Fb%FF.flac", "a_b\u{fffd}", "a-b-"),
            ("file:///a/%E4%BC%9A%E8%AE%AE.m4a", "会议", "--"),
            ("s3://b/2024.01.05", "2024.01.05", "2024.01.05"),
            ("s3://b/.wav", ".wav", ".wav"),
            ("file:///100%", "100%", "100-"),
            ("file:///%+1%zz.wav", "%+1%zz", "--1-zz"),
            ("s3://b/", "recording", "recording"),
            ("https://a.org/calls/my%20talk.mp3?…", "my_talk", "my-talk"),
            ("https://a.org/dl/?…", "recording", "recording"),
        ] {
            assert_eq!((file_id(uri).as_str(), job_name(uri).as_str()), (id, job), "{uri}");
        }
        assert_eq!(file_name("file:///a/my%20talk.mp3"), "my talk.mp3");
        assert_eq!(file_name("s3://b/"), "recording");
        assert_eq!(job_name(&"é".repeat(300)).len(), 200);
    }
}
