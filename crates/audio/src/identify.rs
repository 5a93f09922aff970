//! Identifies a file by its beginning: recordings that symphonia does not know, for FFmpeg and for a
//! helpful error message, and files that are no recordings.

/// A format of recordings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Name for people, with its article.
    pub(crate) name: &'static str,
    /// Short lower-case name.
    pub(crate) container: &'static str,
    /// Name of FFmpeg's demuxer.
    pub(crate) demuxer: &'static str,
    /// Whether FFmpeg's demuxer must seek, because the index may be at the end.
    pub(crate) needs_seeking: bool,
}

/// What a file is that symphonia is not asked to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    Recording(&'static Format),
    /// Not a recording; says what it is.
    Other(String),
}

const fn format(name: &'static str, container: &'static str, demuxer: &'static str) -> Format {
    Format { name, container, demuxer, needs_seeking: false }
}

const fn seeking(name: &'static str, container: &'static str, demuxer: &'static str) -> Format {
    Format { name, container, demuxer, needs_seeking: true }
}

/// Offset, magic number and name of files that people upload by mistake.
const OTHERS: &[(usize, &[u8], &str)] = &[
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
    (0, b"MThd", "a MIDI file, which contains notes and no sound"),
    (0, b"\0\x05\x16\x07\0\x02\0\0", "an AppleDouble file, which macOS puts beside a recording"),
];

/// Recordings that symphonia does not know, by offset and magic number.
const FOREIGN: &[(usize, &[u8], Format)] = &[
    (0, b"#!AMR", format("an AMR recording", "amr", "amr")),
    (8, b"AVI ", format("an AVI video", "avi", "avi")),
    (8, b"QLCM", format("a QCP recording", "qcp", "qcp")),
    (8, b"XWMA", format("an xWMA recording", "xwma", "xwma")),
    (8, b"8SVX", format("an 8SVX recording", "8svx", "iff")),
    (0, b"FLV\x01", format("a Flash video", "flv", "flv")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", format("a Windows Media file", "asf", "asf")),
    (28, b"Speex   ", format("a Speex recording", "ogg", "ogg")),
    (0, b"wvpk", format("a WavPack recording", "wavpack", "wv")),
    (0, b"MAC ", format("a Monkey's Audio recording", "ape", "ape")),
    (0, b"TTA1", format("a True Audio recording", "tta", "tta")),
    (0, b"MPCK", format("a Musepack recording", "musepack", "mpc8")),
    (0, b"MP+", format("a Musepack recording", "musepack", "mpc")),
    (0, b"DSD ", format("a DSF recording", "dsf", "dsf")),
    (0, b".snd", format("a Sun AU recording", "au", "au")),
    (0, b"NIST_1A", format("a NIST SPHERE recording", "sphere", "nistsphere")),
    (0, b"riff\x2e\x91\xcf\x11", format("a Sony Wave64 recording", "w64", "w64")),
    (0, b"Creative Voice File", format("a Creative Voice recording", "voc", "voc")),
    (0, b".RMF", format("a RealMedia file", "rm", "rm")),
    (0, b".ra\xfd", format("a RealAudio recording", "ra", "rm")),
    (0, b"\0\0\x01\xba", format("an MPEG program stream", "mpeg", "mpeg")),
    (0, b"\x7f\xfe\x80\x01", format("a DTS recording", "dts", "dts")),
    (4, b"\xf8\x72\x6f\xba", format("a TrueHD recording", "truehd", "truehd")),
    (0, b"ajkg", format("a Shorten recording", "shorten", "shn")),
];

const TRANSPORT_STREAM: Format = format("an MPEG transport stream", "mpegts", "mpegts");
const AC3: Format = format("an AC-3 (Dolby Digital) recording", "ac3", "ac3");
const EAC3: Format = format("an E-AC-3 (Dolby Digital Plus) recording", "eac3", "eac3");

/// Formats that symphonia reads, for files in which it does not know the codec.
const KNOWN: &[(usize, &[u8], Format)] = &[
    (8, b"WAVE", format("a WAV file", "wav", "wav")),
    (8, b"AIFF", seeking("an AIFF file", "aiff", "aiff")),
    (8, b"AIFC", seeking("an AIFF-C file", "aiff", "aiff")),
    (0, b"caff", seeking("a CAF file", "caf", "caf")),
    (0, b"\x1a\x45\xdf\xa3", format("a Matroska file", "mkv", "matroska")),
    (0, b"OggS", format("an Ogg file", "ogg", "ogg")),
    (0, b"fLaC", format("a FLAC file", "flac", "flac")),
];

const MP4: Format = seeking("an MP4 file", "mp4", "mov");
const ADTS: Format = format("an AAC file", "aac", "aac");
const MPEG_AUDIO: Format = format("an MPEG audio file", "mp3", "mp3");

/// Identifies a file that begins with `head` if symphonia certainly does not decode it. Called before
/// the probe, which would search archives and images for bytes that happen to look like an MP3
/// frame.
pub(crate) fn identify_foreign(head: &[u8]) -> Option<Foreign> {
    if let Some((_, _, name)) = OTHERS.iter().find(|(at, magic, _)| is_at(head, *at, magic)) {
        return Some(Foreign::Other(format!("it looks like {name}")));
    }
    let foreign = FOREIGN.iter().find(|(at, magic, _)| is_at(head, *at, magic));
    if let Some((_, _, format)) = foreign {
        return Some(Foreign::Recording(format));
    }
    if is_transport_stream(head) {
        return Some(Foreign::Recording(&TRANSPORT_STREAM));
    }
    if let Some(format) = dolby(head) {
        return Some(Foreign::Recording(format));
    }
    describe_text(head).map(Foreign::Other)
}

/// Returns the format of a file that begins with `head`, after tags.
pub(crate) fn format_of(head: &[u8]) -> Option<&'static Format> {
    if let Some(Foreign::Recording(format)) = identify_foreign(head) {
        return Some(format);
    }
    if let Some((_, _, format)) = KNOWN.iter().find(|(at, magic, _)| is_at(head, *at, magic)) {
        return Some(format);
    }
    match head {
        _ if is_mp4(head) => Some(&MP4),
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(&ADTS),
        [0xff, second, ..] if second & 0xe0 == 0xe0 => Some(&MPEG_AUDIO),
        _ => None,
    }
}

/// Returns whether the first atom is one that an MP4 or QuickTime file begins with.
pub(crate) fn is_mp4(head: &[u8]) -> bool {
    const FIRST_ATOMS: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
    FIRST_ATOMS.iter().any(|atom| is_at(head, 4, *atom))
}

fn is_at(head: &[u8], at: usize, magic: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// Describes the beginning of a file in which the probe found no known format.
pub(crate) fn describe_unrecognized(head: &[u8]) -> String {
    if let Some(Foreign::Other(description)) = identify_foreign(head) {
        return description;
    }
    if head.iter().all(|&b| b == 0) {
        return "it begins with only zero bytes".into();
    }
    let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("it begins with the bytes {}", start.join(" "))
}

/// Returns whether five MPEG-2 transport packets follow each other: they are 188 bytes long and
/// begin with 0x47 (ISO 13818-1, 2.4.3.2). Those of camcorders and Blu-rays have four bytes before.
fn is_transport_stream(head: &[u8]) -> bool {
    [(188, 0), (192, 4)].iter().any(|&(packet, start)| {
        (0..5).all(|i| head.get(start + i * packet).is_some_and(|&byte| byte == 0x47))
    })
}

/// Returns the format if two frames of AC-3 (ETSI TS 102 366, 4.4) or E-AC-3 (annex E) follow each
/// other.
fn dolby(head: &[u8]) -> Option<&'static Format> {
    const SYNC: &[u8] = b"\x0b\x77";
    const KILOBITS: [usize; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let &[0x0b, 0x77, b2, b3, b4, b5, ..] = head else { return None };
    let (format, len) = match b5 >> 3 {
        0..=10 => {
            let kilobits = *KILOBITS.get(usize::from(b4 & 0x3f) / 2)?;
            let words = match b4 >> 6 {
                0 => kilobits * 2,
                1 => kilobits * 96_000 / 44_100 + usize::from(b4 & 1),
                2 => kilobits * 3,
                _ => return None,
            };
            (&AC3, words * 2)
        }
        11..=16 => (&EAC3, (usize::from(b2 & 7) << 8 | usize::from(b3)) * 2 + 2),
        _ => return None,
    };
    is_at(head, len, SYNC).then_some(format)
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_identified_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..1000),
            dolby in any::<bool>(),
        ) {
            let start: &[u8] = if dolby { b"\x0b\x77" } else { b"" };
            let head = [start, &bytes].concat();
            format_of(&head);
            describe_unrecognized(&head);
        }
    }

    fn description(head: &[u8]) -> String {
        match identify_foreign(head) {
            Some(Foreign::Other(description)) => description,
            Some(Foreign::Recording(format)) => format.name.into(),
            None => String::new(),
        }
    }

    #[test]
    fn identifies_known_files() {
        assert_eq!(description(b"Dear Sir or Madam,\nplease"), "it looks like text");
        assert_eq!(description(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), "it looks like text");
        assert_eq!(description(b"ffconcat version 1.0\nfile a"), "it looks like text");
        assert!(description(b"<!DOCTYPE html><html>").contains("an HTML page"));
        assert!(description(b"<?xml version='1.0'?><Error>").contains("XML"));
        assert!(description("Ünïcode text".as_bytes()).contains("text"));
        assert!(description(b"PK\x03\x04rest").contains("ZIP"));
        assert_eq!(description(b"#!AMR\n<\x91\x17"), "an AMR recording");
        assert_eq!(description(b"#!AMR-WB\nabc"), "an AMR recording");
        assert_eq!(description(b"RIFF\x10\0\0\0AVI LIST"), "an AVI video");
        for (packet, start) in [(188, 0), (192, 4)] {
            let mut ts = vec![0; 1000];
            for i in 0..5 {
                ts[start + i * packet] = 0x47;
            }
            assert!(description(&ts).contains("transport stream"));
        }
    }

    #[test]
    fn identifies_dolby_by_two_frames() {
        // 64 kbit/s at 48 kHz: 256 bytes.
        let mut ac3 = vec![0; 1000];
        ac3[..6].copy_from_slice(&[0x0b, 0x77, 0, 0, 8, 8 << 3]);
        assert_eq!(dolby(&ac3), None, "one frame alone may be chance");
        ac3[256..258].copy_from_slice(b"\x0b\x77");
        assert_eq!(dolby(&ac3), Some(&AC3));
        let mut eac3 = vec![0; 1000];
        eac3[..6].copy_from_slice(&[0x0b, 0x77, 0, 127, 0, 16 << 3]);
        eac3[256..258].copy_from_slice(b"\x0b\x77");
        assert_eq!(dolby(&eac3), Some(&EAC3));
    }

    #[test]
    fn knows_the_formats_of_symphonia_too() {
        let demuxer = |head: &[u8]| format_of(head).map(|format| format.demuxer);
        assert_eq!(demuxer(b"RIFF\x24\0\0\0WAVEfmt "), Some("wav"));
        assert_eq!(demuxer(b"\0\0\0\x18ftypqt  "), Some("mov"));
        assert_eq!(demuxer(b"FORM\0\0\0\0AIFC"), Some("aiff"));
        assert_eq!(demuxer(b"\xff\xf1\x50\x80"), Some("aac"));
        assert_eq!(demuxer(b"\xff\xfb\x90\x64"), Some("mp3"));
        assert_eq!(demuxer(b"\x01\x02\x03\x04"), None);
    }

    #[test]
    fn a_character_cut_in_two_is_still_text() {
        let text = "größe ".repeat(9);
        let cut = text.find('ö').unwrap_or(0) + 1;
        assert!(identify_foreign(&text.as_bytes()[..cut]).is_some());
    }

    #[test]
    fn ignores_recordings_and_noise() {
        assert_eq!(identify_foreign(b"RIFF\x24\0\0\0WAVEfmt "), None);
        assert_eq!(identify_foreign(b"fLaC\0\0\0\x22"), None);
        assert_eq!(identify_foreign(b"ID3\x04\0\0"), None);
        assert_eq!(identify_foreign(b"#!\0\x01\x02"), None);
        assert!(describe_unrecognized(&[0; 100]).contains("zero bytes"));
        assert_eq!(describe_unrecognized(&[0xab, 0xcd]), "it begins with the bytes ab cd");
    }
}
