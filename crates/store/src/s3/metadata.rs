//! User metadata as HTTP headers. A header contains visible ASCII at most, so other characters, and
//! `%` itself, are percent-encoded when written and decoded when read.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// S3's limit for all keys and values of one object.
const MAX_BYTES: usize = 2048;

const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

pub(super) fn encode(
    metadata: &BTreeMap<String, String>,
) -> Result<HashMap<String, String>, String> {
    let mut bytes = 0;
    let mut headers = HashMap::with_capacity(metadata.len());
    for (key, value) in metadata {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if key.is_empty() || !key.bytes().all(allowed) {
            return Err(format!(
                "metadata key {key:?} is empty or contains characters other than lower-case \
                 letters, digits and '-'"
            ));
        }
        let value = utf8_percent_encode(value, ENCODED).to_string();
        bytes += key.len() + value.len();
        headers.insert(key.clone(), value);
    }
    if bytes > MAX_BYTES {
        return Err(format!("{bytes} bytes of metadata, the limit is {MAX_BYTES}"));
    }
    Ok(headers)
}

pub(super) fn decode(headers: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    let decode = |value| percent_decode_str(value).decode_utf8_lossy().into_owned();
    headers
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.to_ascii_lowercase(), decode(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_is_written_as_ascii_and_read_back() {
        for value in ["", "plain", " spaces ", "100%", "%41", "a\r\nb: c", "電話", "\u{7f}\0"] {
            let metadata = BTreeMap::from([("a-1".to_owned(), value.to_owned())]);
            let headers = encode(&metadata).unwrap();
            assert!(headers["a-1"].bytes().all(|b| b.is_ascii_graphic()), "{headers:?}");
            assert_eq!(decode(Some(&headers)), metadata);
        }
    }

    #[test]
    fn invalid_keys_and_too_many_bytes_are_refused() {
        for key in ["", "A", "a b", "a_b", "é", "a:"] {
            assert!(encode(&BTreeMap::from([(key.into(), "x".into())])).is_err(), "{key:?}");
        }
        assert!(encode(&BTreeMap::from([("a".into(), "é".repeat(341))])).is_ok());
        assert!(encode(&BTreeMap::from([("a".into(), "é".repeat(342))])).is_err());
    }
}
