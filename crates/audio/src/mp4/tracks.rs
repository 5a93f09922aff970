//! Lists the audio tracks of an MP4 file, also those whose codec symphonia does not know, because it
//! drops their descriptions.

use std::io::{self, Seek as _, SeekFrom};

use super::atoms::{Atom, atoms, child, read_body, unsigned};
use crate::source::Source;

/// An audio track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mp4Track {
    pub(crate) id: u32,
    /// Four-character code of the codec; of encrypted audio, what was encrypted, if it says so.
    pub(crate) codec: [u8; 4],
    /// Four-character code of the encryption.
    pub(crate) encryption: Option<[u8; 4]>,
    pub(crate) language: Option<String>,
    pub(crate) is_enabled: bool,
}

/// Returns the audio tracks of `source` and restores its position.
pub(crate) fn audio_tracks(source: &mut Source) -> io::Result<Vec<Mp4Track>> {
    let position = source.stream_position()?;
    let mut tracks = Vec::new();
    let is_index = |atom: &Atom| &atom.kind == b"moov";
    let found = atoms(source, 0, u64::MAX, |atom, _| is_index(atom))?;
    for atom in found.iter().filter(|atom| is_index(atom)) {
        for atom in atoms(source, atom.body, atom.end, |_, _| false)? {
            if &atom.kind == b"trak" {
                tracks.extend(audio_track(source, &atom)?);
            }
        }
    }
    source.seek(SeekFrom::Start(position))?;
    Ok(tracks)
}

fn audio_track(source: &mut Source, track: &Atom) -> io::Result<Option<Mp4Track>> {
    let Some(header) = child(source, track, b"tkhd")? else { return Ok(None) };
    let header = read_body(source, &header, 24)?;
    let at = if header.first() == Some(&1) { 20 } else { 12 };
    let Some(id) = unsigned(&header, at, 4).and_then(|id| u32::try_from(id).ok()) else {
        return Ok(None);
    };
    let Some(media) = child(source, track, b"mdia")? else { return Ok(None) };
    let Some(handler) = child(source, &media, b"hdlr")? else { return Ok(None) };
    if read_body(source, &handler, 12)?.get(8..12) != Some(b"soun") {
        return Ok(None);
    }
    let language = match child(source, &media, b"mdhd")? {
        Some(header) => language(&read_body(source, &header, 36)?),
        None => None,
    };
    let mut description = Vec::new();
    let mut parent = media;
    for kind in [b"minf", b"stbl", b"stsd"] {
        let Some(atom) = child(source, &parent, kind)? else { break };
        if kind == b"stsd" {
            description = read_body(source, &atom, 4096)?;
        }
        parent = atom;
    }
    let (codec, encryption) = codec(&description);
    let is_enabled = header.get(3).is_some_and(|flags| flags & 1 != 0);
    Ok(Some(Mp4Track { id, codec, encryption, language, is_enabled }))
}

/// Returns the codec of a sample description, and its encryption.
fn codec(description: &[u8]) -> ([u8; 4], Option<[u8; 4]>) {
    let code = |bytes: &[u8]| bytes.first_chunk().copied();
    let entry = description.get(12..).and_then(code).unwrap_or_default();
    // Common encryption, FairPlay, and Audible's own.
    if !matches!(&entry, b"enca" | b"drms" | b"aavd" | b"aaxc") {
        return (entry, None);
    }
    let original = description.windows(8).find(|bytes| bytes.starts_with(b"frma"));
    (original.and_then(|bytes| code(&bytes[4..])).unwrap_or(*b"mp4a"), Some(entry))
}

/// Returns the language of an `mdhd` (ISO 14496-12, 8.4.2): three letters of five bits.
fn language(header: &[u8]) -> Option<String> {
    let at = if header.first() == Some(&1) { 32 } else { 20 };
    let packed = unsigned(header, at, 2)?;
    let letter = |shift: u32| char::from(0x60 + (packed >> shift & 0x1f) as u8);
    let code: String = [10, 5, 0].map(letter).into_iter().collect();
    // Smaller numbers are codes of the Macintosh.
    (packed >= 0x400 && code != "und" && code.bytes().all(|b| b.is_ascii_lowercase()))
        .then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_codecs_and_encryption() {
        let entry = |kind: &[u8], rest: &[u8]| [&[0; 12][..], kind, &[0; 28], rest].concat();
        assert_eq!(codec(&entry(b"samr", b"")), (*b"samr", None));
        let encrypted = entry(b"enca", b"\0\0\0\x0cfrmaac-3");
        assert_eq!(codec(&encrypted), (*b"ac-3", Some(*b"enca")));
        assert_eq!(codec(&entry(b"drms", b"")), (*b"mp4a", Some(*b"drms")));
        assert_eq!(codec(b""), ([0; 4], None));
    }

    #[test]
    fn reads_languages() {
        let header = |packed: u16| [&[0; 20][..], &packed.to_be_bytes(), &[0, 0]].concat();
        let pack = |code: &[u8; 3]| code.iter().fold(0, |all, &b| all << 5 | u16::from(b - 0x60));
        assert_eq!(language(&header(pack(b"deu"))).as_deref(), Some("deu"));
        assert_eq!(language(&header(pack(b"und"))), None);
        assert_eq!(language(&header(0)), None);
        assert_eq!(language(b""), None);
    }
}
