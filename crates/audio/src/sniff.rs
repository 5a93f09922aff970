//! What a file looks like that is no recording, for an error message that helps.

/// Magic numbers of what people upload by mistake, and of recordings that cannot be decoded.
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
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
];

/// A name for `head`, the beginning of a file, if it is certainly no recording that this crate
/// decodes. Asked before the probe, which would search archives and pictures for something that
/// happens to look like an MP3 frame.
pub(crate) fn not_a_recording(head: &[u8]) -> Option<String> {
    let known = KNOWN
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, name)) = known {
        return Some(format!("it looks like {name}"));
    }
    is_transport_stream(head)
        .then(|| "it looks like an MPEG transport stream, which is not supported".into())
        .or_else(|| text(head))
}

/// What can be said of a beginning in which the probe found no format.
pub(crate) fn describe(head: &[u8]) -> String {
    if let Some(description) = not_a_recording(head) {
        return description;
    }
    if head.iter().all(|&b| b == 0) {
        return "it begins with nothing but zero bytes".into();
    }
    let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("it begins with the bytes {}", start.join(" "))
}

/// MPEG-2 transport packets are 188 bytes long and begin with 0x47 (ISO 13818-1, 2.4.3.2).
fn is_transport_stream(head: &[u8]) -> bool {
    const PACKET: usize = 188;
    head.len() > 4 * PACKET && (0..5).all(|i| head[i * PACKET] == 0x47)
}

fn text(head: &[u8]) -> Option<String> {
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
    let shown = valid.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    let lower = shown.get(..9).unwrap_or(shown).to_ascii_lowercase();
    let kind = match lower.as_bytes() {
        [b'<', b'!', b'd', ..] | [b'<', b'h', b't', b'm', b'l', ..] => "an HTML page",
        [b'<', ..] => "XML",
        [b'{' | b'[', ..] => "JSON",
        _ => "text",
    };
    let line: String = shown.lines().next().unwrap_or_default().chars().take(60).collect();
    Some(format!("it looks like {kind} that begins with {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_knows() {
        let says = |head: &[u8]| not_a_recording(head).unwrap_or_default();
        assert!(says(b"Dear Sir or Madam,\nplease").contains("text that begins with \"Dear Sir"));
        assert!(says(b"<!DOCTYPE html><html>").contains("an HTML page"));
        assert!(says(b"<?xml version='1.0'?><Error>").contains("XML"));
        assert!(says("Ünïcode text".as_bytes()).contains("text"));
        assert!(says(b"PK\x03\x04rest").contains("ZIP"));
        let mut ts = vec![0; 1000];
        for i in 0..6 {
            ts[i * 188] = 0x47;
        }
        assert!(says(&ts).contains("transport stream"));
    }

    #[test]
    fn a_character_cut_in_two_is_still_text() {
        let text = "größe ".repeat(9);
        let cut = text.find('ö').unwrap_or(0) + 1;
        assert!(not_a_recording(&text.as_bytes()[..cut]).is_some());
    }

    #[test]
    fn leaves_recordings_and_noise_alone() {
        assert_eq!(not_a_recording(b"RIFF\x24\0\0\0WAVEfmt "), None);
        assert_eq!(not_a_recording(b"fLaC\0\0\0\x22"), None);
        assert_eq!(not_a_recording(b"ID3\x04\0\0"), None);
        assert_eq!(not_a_recording(b"#!\0\x01\x02"), None);
        assert!(describe(&[0; 100]).contains("zero bytes"));
        assert_eq!(describe(&[0xab, 0xcd]), "it begins with the bytes ab cd");
    }
}
