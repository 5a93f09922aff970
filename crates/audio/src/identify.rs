//! Identifies files that are not supported recordings, for a helpful error message.

/// Offset, magic number and name of files that people upload by mistake and of recordings in
/// unsupported formats.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive or office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"\x7fELF", "a Linux program"),
    (0, b"SQLite format 3", "an SQLite database"),
    (8, b"AVI ", "an AVI video, which is not supported"),
    (0, b"FLV\x01", "a Flash video, which is not supported"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file, which is not supported"),
    (0, b"#!AMR", "an AMR recording, which is not supported"),
    (28, b"Speex   ", "a Speex recording, which is not supported"),
    (0, b"wvpk", "a WavPack recording, which is not supported"),
    (0, b"MAC ", "a Monkey's Audio recording, which is not supported"),
    (0, b".snd", "a Sun AU recording, which is not supported"),
    (0, b"NIST_1A", "a NIST SPHERE recording, which is not supported"),
    (0, b"riff\x2e\x91\xcf\x11", "a Sony Wave64 recording, which is not supported"),
    (0, b"MThd", "a MIDI file, which contains notes and no sound"),
];

/// Describes a file that begins with `head` if it is certainly not a recording that this crate
/// decodes. Called before the probe, which would search archives and images for bytes that happen
/// to look like an MP3 frame.
pub(crate) fn identify_unsupported(head: &[u8]) -> Option<String> {
    let known = KNOWN
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, name)) = known {
        return Some(format!("it looks like {name}"));
    }
    is_transport_stream(head)
        .then(|| "it looks like an MPEG transport stream, which is not supported".into())
        .or_else(|| describe_text(head))
}

/// Describes the beginning of a file in which the probe found no known format.
pub(crate) fn describe_unrecognized(head: &[u8]) -> String {
    if let Some(description) = identify_unsupported(head) {
        return description;
    }
    if head.iter().all(|&b| b == 0) {
        return "it begins with only zero bytes".into();
    }
    let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("it begins with the bytes {}", start.join(" "))
}

/// Returns whether five MPEG-2 transport packets follow each other: they are 188 bytes long and
/// begin with 0x47 (ISO 13818-1, 2.4.3.2).
fn is_transport_stream(head: &[u8]) -> bool {
    const PACKET: usize = 188;
    head.len() > 4 * PACKET && (0..5).all(|i| head[i * PACKET] == 0x47)
}

/// Describes `head` if it is text: HTML, XML, JSON or other.
fn describe_text(head: &[u8]) -> Option<String> {
    // The end of the head may cut a character in two.
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}');
    if valid.trim().is_empty() || !valid.chars().all(is_text) {
        return None;
    }
    let content = valid.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    let lower = content.get(..9).unwrap_or(content).to_ascii_lowercase();
    let kind = match lower.as_bytes() {
        [b'<', b'!', b'd', ..] | [b'<', b'h', b't', b'm', b'l', ..] => "an HTML page",
        [b'<', ..] => "XML",
        [b'{' | b'[', ..] => "JSON",
        _ => "text",
    };
    // Not what it says: a job may name a file that is nobody's business.
    Some(format!("it looks like {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifies_known_files() {
        let description = |head: &[u8]| identify_unsupported(head).unwrap_or_default();
        assert_eq!(description(b"Dear Sir or Madam,\nplease"), "it looks like text");
        assert!(description(b"<!DOCTYPE html><html>").contains("an HTML page"));
        assert!(description(b"<?xml version='1.0'?><Error>").contains("XML"));
        assert!(description("Ünïcode text".as_bytes()).contains("text"));
        assert!(description(b"PK\x03\x04rest").contains("ZIP"));
        let mut ts = vec![0; 1000];
        for i in 0..6 {
            ts[i * 188] = 0x47;
        }
        assert!(description(&ts).contains("transport stream"));
    }

    #[test]
    fn a_character_cut_in_two_is_still_text() {
        let text = "größe ".repeat(9);
        let cut = text.find('ö').unwrap_or(0) + 1;
        assert!(identify_unsupported(&text.as_bytes()[..cut]).is_some());
    }

    #[test]
    fn ignores_recordings_and_noise() {
        assert_eq!(identify_unsupported(b"RIFF\x24\0\0\0WAVEfmt "), None);
        assert_eq!(identify_unsupported(b"fLaC\0\0\0\x22"), None);
        assert_eq!(identify_unsupported(b"ID3\x04\0\0"), None);
        assert_eq!(identify_unsupported(b"#!\0\x01\x02"), None);
        assert!(describe_unrecognized(&[0; 100]).contains("zero bytes"));
        assert_eq!(describe_unrecognized(&[0xab, 0xcd]), "it begins with the bytes ab cd");
    }
}
