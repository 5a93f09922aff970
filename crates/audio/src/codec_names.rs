//! Names of codecs for people, from the identifiers that containers use.

use crate::aiff;

/// Returns the name of the codec with this four-character code of QuickTime, MP4, AIFF-C or CAF.
pub(crate) fn fourcc(code: &[u8; 4]) -> String {
    let mut lower = *code;
    lower.make_ascii_lowercase();
    let name = match &lower {
        b"samr" => "AMR narrow-band",
        b"sawb" => "AMR wide-band",
        b"sawp" => "AMR-WB+",
        b"sevc" => "EVRC",
        b"sqcp" | b"qclp" => "QCELP",
        b"ima4" => "IMA ADPCM",
        b"ac-3" => "AC-3 (Dolby Digital)",
        b"ec-3" => "E-AC-3 (Dolby Digital Plus)",
        b"ac-4" => "AC-4",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => "DTS",
        b"mlpa" => "TrueHD",
        b"gsm " | b"agsm" => "GSM 6.10",
        b"g722" => "G.722",
        b"g726" => "G.726",
        b"ilbc" => "iLBC",
        b"qdm2" | b"qdmc" => "QDesign Music",
        b"mac3" | b"mac6" => "MACE",
        b"mp4a" => "AAC",
        b".mp3" | b"mp3 " => "MP3",
        b".mp2" => "MPEG layer 2",
        b"alac" => "Apple Lossless",
        b"usac" | b"mha1" | b"mhm1" => "MPEG-H or USAC",
        b"wma2" | b"wmav" => "Windows Media Audio",
        b"spex" => "Speex",
        b"sowt" | b"twos" | b"lpcm" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"raw " | b"none"
        | b"ipcm" | b"fpcm" => "PCM",
        b"alaw" => "A-law",
        b"ulaw" => "mu-law",
        // Microsoft's codecs in QuickTime: `ms` and the format tag of WAV.
        [b'm', b's', high, _] if !high.is_ascii_graphic() => {
            return wav(u16::from_be_bytes([code[2], code[3]]));
        }
        _ => return format!("the codec `{}`", code.escape_ascii()),
    };
    name.to_owned()
}

/// Returns the name of the codec with this format tag of WAV.
pub(crate) fn wav(tag: u16) -> String {
    let name = match tag {
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0020 => "Yamaha ADPCM",
        0x0031 => "GSM 6.10",
        0x0022 => "TrueSpeech",
        0x0040 | 0x0045 | 0x0064 | 0x0014 => "G.721/G.726 ADPCM",
        0x0042 => "G.723.1",
        0x0050 => "MPEG layer 2",
        0x0055 => "MP3",
        0x0065 | 0x028f => "G.722",
        0x0083 => "G.729",
        0x0038..=0x003a | 0x0135 => "AMR",
        0x00ff | 0x1600 | 0x1610 | 0x706d => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x2000 => "AC-3",
        0x2001 => "DTS",
        0xa109 => "Speex",
        0x566f | 0x674f | 0x6750 | 0x6751 | 0x676f | 0x6770 | 0x6771 => "Vorbis",
        _ => return format!("WAV format tag {tag:#06x}"),
    };
    format!("{name} (WAV format tag {tag:#06x})")
}

/// Returns the name of the codec with this id of Matroska.
pub(crate) fn matroska(id: &str) -> String {
    let name = match id {
        "A_AC3" | "A_AC3/BSID9" | "A_AC3/BSID10" => "AC-3 (Dolby Digital)",
        "A_EAC3" => "E-AC-3 (Dolby Digital Plus)",
        "A_OPUS" => "Opus",
        "A_VORBIS" => "Vorbis",
        "A_FLAC" => "FLAC",
        "A_MPEG/L3" => "MP3",
        "A_MPEG/L2" => "MPEG layer 2",
        "A_ALAC" => "Apple Lossless",
        _ if id.starts_with("A_AAC") => "AAC",
        _ if id.starts_with("A_DTS") => "DTS",
        _ if id.starts_with("A_PCM") => "PCM",
        _ => {
            let short: String = id.chars().take(40).collect();
            return format!("the codec `{}`", errors::printable(&short));
        }
    };
    name.to_owned()
}

/// Returns the name of the codec of an AIFF-C or CAF file that begins with `head`.
pub(crate) fn of_file(head: &[u8]) -> Option<String> {
    let code = if head.starts_with(b"FORM") {
        aiff::compression_of_file(head)?
    } else if head.starts_with(b"caff") {
        // The description is the first chunk: type, length, sample rate, format.
        head.get(28..32)?.try_into().ok()?
    } else {
        return None;
    };
    Some(fourcc(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable() {
        assert_eq!(fourcc(b"samr"), "AMR narrow-band");
        assert_eq!(fourcc(b"ms\0\x31"), "GSM 6.10 (WAV format tag 0x0031)");
        assert_eq!(fourcc(b"\x1b[3m"), "the codec `\\x1b[3m`");
        assert_eq!(matroska("A_\u{1b}"), "the codec `A_\\u{1b}`");
        assert_eq!(wav(0x028f), "G.722 (WAV format tag 0x028f)");
        let mut caf = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
        caf.extend([0; 8]);
        caf.extend(b"agsm");
        assert_eq!(of_file(&caf).as_deref(), Some("GSM 6.10"));
        assert_eq!(of_file(&caf[..30]), None);
    }
}
