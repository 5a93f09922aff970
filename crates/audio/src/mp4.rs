//! Reads the atoms of an MP4 file (ISO 14496-12) that symphonia ignores or interprets otherwise than
//! this crate needs.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use crate::source::Source;

/// Properties read from an MP4 file; empty for other files.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mp4 {
    /// End of the audio data (`mdat`), in a file whose index (`moov`) comes first.
    pub(crate) end_of_data: Option<u64>,
    /// Track ids with the start of the track's first edit within its media, in units of the track.
    starts: Vec<(u32, u64)>,
    /// Ids of tracks with big-endian PCM that symphonia decodes as little-endian.
    big_endian: Vec<u32>,
}

/// Maximum number of atoms read on each level: of the file, of its index, of a track. Each may cost a
/// request to a remote store. Only malicious files have more.
const MAX_ATOMS: usize = 32;

struct Atom {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

impl Mp4 {
    /// Reads the atoms of `source` from its beginning and restores its position.
    pub(crate) fn read(source: &mut Source) -> io::Result<Self> {
        let position = source.stream_position()?;
        let (mut mp4, mut has_index) = (Mp4::default(), false);
        for atom in atoms(source, 0, u64::MAX)? {
            match &atom.kind {
                b"mdat" if has_index => mp4.end_of_data = Some(atom.end),
                b"moov" => {
                    has_index = true;
                    for track in atoms(source, atom.body, atom.end)? {
                        if &track.kind == b"trak" {
                            mp4.read_track(source, &track)?;
                        }
                    }
                }
                _ => {}
            }
        }
        source.seek(SeekFrom::Start(position))?;
        Ok(mp4)
    }

    fn read_track(&mut self, source: &mut Source, track: &Atom) -> io::Result<()> {
        let mut id = None;
        for atom in atoms(source, track.body, track.end)? {
            match (&atom.kind, id) {
                (b"tkhd", _) => {
                    let body = read_body(source, &atom, 24)?;
                    let at = if body.first() == Some(&1) { 20 } else { 12 };
                    id = unsigned(&body, at, 4).and_then(|id| u32::try_from(id).ok());
                }
                (b"edts", Some(id)) => {
                    self.starts.extend(first_edit(source, &atom)?.map(|start| (id, start)));
                }
                (b"mdia", Some(id)) if is_big_endian(source, &atom)? => self.big_endian.push(id),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns whether the track is PCM that symphonia would decode to noise.
    pub(crate) fn is_big_endian(&self, track: u32) -> bool {
        self.big_endian.contains(&track)
    }

    /// Returns the start of the track's first edit. The audio before it is the encoder's delay.
    pub(crate) fn start(&self, track: u32) -> Option<u64> {
        self.starts.iter().find(|(id, _)| *id == track).map(|&(_, start)| start)
    }
}

/// Returns the atoms from `pos` to `end`, up to the first invalid one. On the level of the file, stops
/// at the first atom with audio data after the index.
fn atoms(source: &mut Source, pos: u64, end: u64) -> io::Result<Vec<Atom>> {
    atoms_until(source, pos, end, |atom, before| {
        matches!(&atom.kind, b"mdat" | b"moof") && before.iter().any(|a| &a.kind == b"moov")
    })
}

fn atoms_until(
    source: &mut Source,
    mut pos: u64,
    end: u64,
    is_last: impl Fn(&Atom, &[Atom]) -> bool,
) -> io::Result<Vec<Atom>> {
    let mut found: Vec<Atom> = Vec::new();
    while pos < end && found.len() < MAX_ATOMS {
        let header = read_at(source, pos, 16)?;
        let [s0, s1, s2, s3, k0, k1, k2, k3, long @ ..] = &header[..] else { break };
        let (size, header_len) = match u32::from_be_bytes([*s0, *s1, *s2, *s3]) {
            1 => (long.iter().fold(0, |size, &b| size << 8 | u64::from(b)), 16),
            size => (u64::from(size), 8),
        };
        // A size of 0 means that the atom extends to the end of the file.
        let Some(atom_end) = pos.checked_add(size).filter(|_| size >= header_len) else { break };
        let atom = Atom { kind: [*k0, *k1, *k2, *k3], body: pos + header_len, end: atom_end };
        let last = is_last(&atom, &found);
        found.push(atom);
        if last {
            break;
        }
        pos = atom_end;
    }
    Ok(found)
}

/// Returns the start of the first edit (`elst`, 8.6.6) that is not empty.
fn first_edit(source: &mut Source, edits: &Atom) -> io::Result<Option<u64>> {
    /// At most one empty edit comes before the first, when the sound begins after the picture.
    const MAX_EDITS: usize = 2;
    let Some(list) = child(source, edits, b"elst")? else { return Ok(None) };
    let body = read_body(source, &list, 8 + 20 * MAX_EDITS as u64)?;
    let width = if body.first() == Some(&1) { 8 } else { 4 };
    let edits = unsigned(&body, 4, 4).map_or(0, |n| n.min(MAX_EDITS as u64));
    Ok((0..edits as usize)
        .filter_map(|n| unsigned(&body, 8 + n * (2 * width + 4) + width, width))
        .find(|&time| time >> (8 * width - 1) == 0))
}

/// Returns whether the samples are 24-bit or wider, in a format whose byte order a separate atom
/// declares (QuickTime File Format, `enda`), and that atom does not say little-endian.
fn is_big_endian(source: &mut Source, media: &Atom) -> io::Result<bool> {
    let Some(info) = child(source, media, b"minf")? else { return Ok(false) };
    let Some(tables) = child(source, &info, b"stbl")? else { return Ok(false) };
    let Some(description) = child(source, &tables, b"stsd")? else { return Ok(false) };
    let body = read_body(source, &description, 256)?;
    let is_wide = body
        .get(12..16)
        .is_some_and(|kind| [b"in24", b"in32", b"fl32", b"fl64"].iter().any(|k| kind == *k));
    Ok(is_wide && !body.windows(6).any(|bytes| bytes == b"enda\0\x01"))
}

/// Returns the first atom of a kind within another.
fn child(source: &mut Source, parent: &Atom, kind: &[u8; 4]) -> io::Result<Option<Atom>> {
    let found = atoms_until(source, parent.body, parent.end, |atom, _| &atom.kind == kind)?;
    Ok(found.into_iter().next_back().filter(|atom| &atom.kind == kind))
}

/// Returns the first `len` bytes of an atom's body, or all if it is shorter.
fn read_body(source: &mut Source, atom: &Atom, len: u64) -> io::Result<Vec<u8>> {
    read_at(source, atom.body, len.min(atom.end - atom.body))
}

/// Reads up to `len` bytes at `pos`.
fn read_at(source: &mut Source, pos: u64, len: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(pos))?;
    let mut bytes = Vec::new();
    source.by_ref().take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unsigned(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().fold(0, |value, &b| value << 8 | u64::from(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = (body.len() as u32 + 8).to_be_bytes();
        [&size, kind.as_slice(), body].concat()
    }

    fn read(bytes: Vec<u8>) -> Option<Mp4> {
        let mut source = Source::open(Box::new(io::Cursor::new(bytes)), u64::MAX).ok()?;
        Mp4::read(&mut source).ok()
    }

    #[test]
    fn reads_the_first_edit_of_each_track() {
        let tkhd = |id: u8| atom(b"tkhd", &[&[0; 15], [id].as_slice()].concat());
        let mut v0 = vec![0, 0, 0, 0, 0, 0, 0, 2];
        v0.extend([0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0]); // empty
        v0.extend([0, 0, 9, 9, 0, 0, 4, 0, 0, 1, 0, 0]);
        let mut v1 = vec![1, 0, 0, 0, 0, 0, 0, 1];
        v1.extend([0, 0, 0, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0x08, 0x40, 0, 1, 0, 0]);
        let edits = |list: &[u8]| atom(b"edts", &atom(b"elst", list));
        let trak = |parts: &[Vec<u8>]| atom(b"trak", &parts.concat());
        let tracks = [
            trak(&[tkhd(1), edits(&v0), atom(b"mdia", &[1; 40])]),
            trak(&[tkhd(2), atom(b"mdia", &[1; 40])]),
            trak(&[tkhd(3), edits(&v1)]),
            trak(&[tkhd(4), edits(&v0[..14])]),
        ];
        let moov = atom(b"moov", &tracks.concat());
        let file = [atom(b"ftyp", b"M4A "), moov, atom(b"mdat", &[7; 100])].concat();
        let end = file.len() as u64;
        for len in [file.len(), file.len() - 50] {
            let mp4 = read(file[..len].to_vec()).unwrap_or_default();
            assert_eq!(mp4.end_of_data, Some(end));
            let starts = [1, 2, 3, 4, 5].map(|track| mp4.start(track));
            assert_eq!(starts, [Some(1024), None, Some(2112), None, None]);
        }
    }

    #[test]
    fn reads_the_byte_order_of_wide_samples() {
        let track = |id: u8, kind: &[u8; 4], order: u8| {
            let wave = atom(b"wave", &atom(b"enda", &[0, order]));
            let entry = atom(kind, &[vec![0; 28], wave].concat());
            let stsd = atom(b"stsd", &[vec![0, 0, 0, 0, 0, 0, 0, 1], entry].concat());
            let mdia = atom(b"mdia", &atom(b"minf", &atom(b"stbl", &stsd)));
            let tkhd = atom(b"tkhd", &[&[0; 15], [id].as_slice()].concat());
            atom(b"trak", &[tkhd, mdia].concat())
        };
        let tracks = [track(1, b"in24", 0), track(2, b"fl32", 1), track(3, b"sowt", 0)];
        let file = [atom(b"ftyp", b"qt  "), atom(b"moov", &tracks.concat())].concat();
        let mp4 = read(file).unwrap_or_default();
        assert_eq!([1, 2, 3].map(|track| mp4.is_big_endian(track)), [true, false, false]);
    }

    #[test]
    fn an_index_at_the_end_declares_no_end_of_data() {
        let parts = [atom(b"ftyp", b"M4A "), atom(b"mdat", &[7; 100]), atom(b"moov", b"")];
        assert_eq!(read(parts.concat()), Some(Mp4::default()));
        assert_eq!(read(b"not an MP4 file".to_vec()), Some(Mp4::default()));
    }
}
