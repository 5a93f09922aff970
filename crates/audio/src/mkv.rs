//! Reads what symphonia ignores of the tracks of a Matroska file (RFC 9559): how their frames are
//! encoded on top of the codec, and tracks whose codec it does not know.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use crate::ebml::take_vint;
use crate::source::Source;

/// An audio track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MkvTrack {
    pub(crate) number: u32,
    pub(crate) codec: String,
    pub(crate) language: Option<String>,
    pub(crate) is_default: bool,
    pub(crate) encoding: Encoding,
}

/// What was done to the frames after the codec (5.1.4.1.31, ContentEncodings).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Encoding {
    #[default]
    None,
    /// These bytes were removed from the start of every frame.
    Stripped(Vec<u8>),
    Encrypted,
    /// Compressed in a way that is not supported here.
    Compressed,
}

/// Longest `Tracks` element that is read. Codecs' headers in it take some kilobytes per track.
const MAX_TRACKS: u64 = 4 << 20;

/// Returns the audio tracks of the file that begins at the position of `source`, or none if it is not
/// Matroska. Restores the position.
pub(crate) fn audio_tracks(source: &mut Source) -> io::Result<Vec<MkvTrack>> {
    let position = source.stream_position()?;
    let body = find_tracks(source, position)?;
    source.seek(SeekFrom::Start(position))?;
    let entries = elements(&body).filter(|(id, _)| *id == TRACK_ENTRY);
    Ok(entries.filter_map(|(_, entry)| track(entry)).collect())
}

const EBML: u64 = 0x1a45_dfa3;
const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1f43_b675;
const TRACKS: u64 = 0x1654_ae6b;
const TRACK_ENTRY: u64 = 0xae;

/// Returns the content of the `Tracks` element of the file that begins at `pos`.
fn find_tracks(source: &mut Source, mut pos: u64) -> io::Result<Vec<u8>> {
    /// Elements before the first cluster. Each may cost a request to a remote store.
    const MAX_ELEMENTS: usize = 32;
    for index in 0..MAX_ELEMENTS {
        let bytes = read_at(source, pos, 16)?;
        let mut rest = &bytes[..];
        let Some(id) = take_id(&mut rest) else { break };
        let len = take_vint(&mut rest);
        let body = pos + (bytes.len() - rest.len()) as u64;
        match (index, id, len) {
            (0, EBML, Some(len)) => match body.checked_add(len) {
                Some(end) => pos = end,
                None => break,
            },
            (1.., SEGMENT, _) => pos = body,
            (1.., TRACKS, Some(len)) if len <= MAX_TRACKS => return read_at(source, body, len),
            (0, ..) | (_, CLUSTER, _) => break,
            (1.., _, Some(len)) => match body.checked_add(len) {
                Some(end) => pos = end,
                None => break,
            },
            _ => break,
        }
    }
    Ok(Vec::new())
}

/// Reads up to `len` bytes at `pos`; none that a source that cannot rewind would lose.
fn read_at(source: &mut Source, pos: u64, len: u64) -> io::Result<Vec<u8>> {
    if !source.rewinds() {
        let mut bytes = source.head_at(pos);
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        return Ok(bytes);
    }
    source.seek(SeekFrom::Start(pos))?;
    let mut bytes = Vec::new();
    source.by_ref().take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn track(entry: &[u8]) -> Option<MkvTrack> {
    const AUDIO: u64 = 2;
    let (mut kind, mut number) = (0, None);
    let (mut codec, mut language, mut bcp47) = (String::new(), Some("eng".to_owned()), None);
    let (mut is_default, mut encoding) = (true, Encoding::None);
    for (id, body) in elements(entry) {
        match id {
            0xd7 => number = u32::try_from(unsigned(body)).ok(),
            0x83 => kind = unsigned(body),
            0x88 => is_default = unsigned(body) != 0,
            0x86 => codec = text(body),
            0x22_b59c => language = Some(text(body)),
            0x22_b59d => bcp47 = Some(text(body)),
            0x6d80 => encoding = encoding_of(body),
            _ => {}
        }
    }
    let language = bcp47.or(language).filter(|code| !code.is_empty() && code != "und");
    let language = language.map(|code| errors::printable(&code).chars().take(16).collect());
    (kind == AUDIO).then_some(MkvTrack { number: number?, codec, language, is_default, encoding })
}

/// Returns the encoding of frames in a `ContentEncodings` element.
fn encoding_of(encodings: &[u8]) -> Encoding {
    const FRAMES: u64 = 1;
    const HEADER_STRIPPING: u64 = 3;
    let mut found = Encoding::None;
    for (_, encoding) in elements(encodings).filter(|(id, _)| *id == 0x6240) {
        let (mut scope, mut kind, mut algorithm, mut settings) = (FRAMES, 0, 0, &[][..]);
        for (id, body) in elements(encoding) {
            match id {
                0x5032 => scope = unsigned(body),
                0x5033 => kind = unsigned(body),
                0x5034 => {
                    for (id, body) in elements(body) {
                        match id {
                            0x4254 => algorithm = unsigned(body),
                            0x4255 => settings = body,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if scope & FRAMES == 0 {
            continue;
        }
        found = match (kind, &found) {
            (1, _) => return Encoding::Encrypted,
            (0, Encoding::None) if algorithm == HEADER_STRIPPING => {
                Encoding::Stripped(settings.to_vec())
            }
            // Others, and several on top of each other.
            _ => Encoding::Compressed,
        };
    }
    found
}

/// Returns the elements in `bytes`, up to the first that is invalid or extends beyond them.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id = take_id(&mut bytes)?;
        let len = usize::try_from(take_vint(&mut bytes)?).ok()?;
        let (body, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        Some((id, body))
    })
}

/// Removes an element id, with its length marker, from the start of `bytes`.
fn take_id(bytes: &mut &[u8]) -> Option<u64> {
    const MAX_LEN: usize = 4;
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let (id, rest) = bytes.split_at_checked(len).filter(|_| len <= MAX_LEN)?;
    *bytes = rest;
    Some(unsigned(id))
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &b| value << 8 | u64::from(b))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(id: u32, body: &[u8]) -> Vec<u8> {
        let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|&b| b == 0).collect();
        let len = (body.len() as u64 | 1 << 56).to_be_bytes();
        [&id, &len[..], body].concat()
    }

    fn file(tracks: &[Vec<u8>]) -> Vec<u8> {
        let segment = [element(0xec, &[0; 300]), element(0x1654_ae6b, &tracks.concat())].concat();
        [element(0x1a45_dfa3, b"\x42\x82\x84webm"), element(0x1853_8067, &segment)].concat()
    }

    fn read(bytes: Vec<u8>) -> Vec<MkvTrack> {
        let source = Source::open(Box::new(io::Cursor::new(bytes)), u64::MAX);
        source.ok().and_then(|mut source| audio_tracks(&mut source).ok()).unwrap_or_default()
    }

    fn encoding(kind: u8, algorithm: u8, settings: &[u8]) -> Vec<u8> {
        let compression = [element(0x4254, &[algorithm]), element(0x4255, settings)].concat();
        let body = [element(0x5033, &[kind]), element(0x5034, &compression)].concat();
        element(0x6d80, &element(0x6240, &body))
    }

    #[test]
    fn reads_audio_tracks_and_their_encodings() {
        let entry = |number: u8, kind: u8, more: &[Vec<u8>]| {
            let fields = [element(0xd7, &[number]), element(0x83, &[kind])].concat();
            element(0xae, &[fields, more.concat()].concat())
        };
        let tracks = read(file(&[
            entry(1, 1, &[]),
            entry(2, 2, &[element(0x86, b"A_AC3"), encoding(0, 3, b"\x0b\x77")]),
            entry(3, 2, &[element(0x88, &[0]), element(0x22_b59c, b"ger"), encoding(1, 0, b"")]),
            entry(4, 2, &[element(0x22_b59d, b"und"), encoding(0, 0, b"")]),
        ]));
        let fields: Vec<_> = tracks
            .iter()
            .map(|t| (t.number, t.codec.as_str(), t.language.as_deref(), t.is_default))
            .collect();
        assert_eq!(
            fields,
            [(2, "A_AC3", Some("eng"), true), (3, "", Some("ger"), false), (4, "", None, true)]
        );
        let encodings: Vec<_> = tracks.into_iter().map(|track| track.encoding).collect();
        let stripped = Encoding::Stripped(b"\x0b\x77".to_vec());
        assert_eq!(encodings, [stripped, Encoding::Encrypted, Encoding::Compressed]);
        assert_eq!(read(b"RIFF\0\0\0\0WAVE".to_vec()), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(file(std::slice::from_ref(&bytes)));
            read([&file(&[])[..20], &bytes].concat());
        }
    }
}
