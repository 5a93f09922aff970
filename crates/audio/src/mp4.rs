//! What symphonia does not read, or not as it is needed, of an MP4 file (ISO 14496-12).

use std::io::{self, Read as _, Seek as _, SeekFrom};

use crate::source::Source;

/// What [`Mp4::read`] found; empty for other files.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mp4 {
    /// Where the audio ends (`mdat`), in a file whose index (`moov`) comes before it.
    pub(crate) end_of_data: Option<u64>,
    /// Track ids, and where within the track's media its first edit begins, in units of the track.
    starts: Vec<(u32, u64)>,
}

/// Atoms looked at on each level: of the file, of its index, of a track. Each may cost a request
/// to a remote store, and more than these there are only in files made to waste time.
const MAX_ATOMS: usize = 32;

struct Atom {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

impl Mp4 {
    /// Looks through the outlines of `source`, from its beginning, and leaves it where it was.
    pub(crate) fn read(source: &mut Source) -> io::Result<Self> {
        let place = source.stream_position()?;
        let (mut mp4, mut has_index) = (Mp4::default(), false);
        for atom in atoms(source, 0, u64::MAX)? {
            match &atom.kind {
                b"mdat" if has_index => mp4.end_of_data = Some(atom.end),
                b"moov" => {
                    has_index = true;
                    for track in atoms(source, atom.body, atom.end)? {
                        if &track.kind == b"trak" {
                            mp4.starts.extend(first_edit(source, &track)?);
                        }
                    }
                }
                _ => {}
            }
        }
        source.seek(SeekFrom::Start(place))?;
        Ok(mp4)
    }

    /// Where the first edit of the track begins: what comes before is what the encoder put in.
    pub(crate) fn start(&self, track: u32) -> Option<u64> {
        self.starts.iter().find(|(id, _)| *id == track).map(|&(_, start)| start)
    }
}

/// The atoms from `pos` to `end`, as far as they make sense. In a file, no further than to the
/// first that holds audio once the index is known.
fn atoms(source: &mut Source, mut pos: u64, end: u64) -> io::Result<Vec<Atom>> {
    let mut found: Vec<Atom> = Vec::new();
    while pos < end && found.len() < MAX_ATOMS {
        let header = read_at(source, pos, 16)?;
        let [s0, s1, s2, s3, k0, k1, k2, k3, long @ ..] = &header[..] else { break };
        let (size, header_len) = match u32::from_be_bytes([*s0, *s1, *s2, *s3]) {
            1 => (long.iter().fold(0, |size, &b| size << 8 | u64::from(b)), 16),
            size => (u64::from(size), 8),
        };
        // A size of 0 means: to the end of the file.
        let Some(atom_end) = pos.checked_add(size).filter(|_| size >= header_len) else { break };
        let kind = [*k0, *k1, *k2, *k3];
        let is_media = matches!(&kind, b"mdat" | b"moof");
        found.push(Atom { kind, body: pos + header_len, end: atom_end });
        if is_media && found.iter().any(|atom| &atom.kind == b"moov") {
            break;
        }
        pos = atom_end;
    }
    Ok(found)
}

/// The id of a track, and the start of its first edit (`elst`, 8.6.6) that is not empty.
fn first_edit(source: &mut Source, track: &Atom) -> io::Result<Option<(u32, u64)>> {
    /// An empty edit before the first at most, as of a sound that begins after the picture.
    const MAX_EDITS: usize = 2;
    let (mut id, mut start) = (None, None);
    for atom in atoms(source, track.body, track.end)? {
        match &atom.kind {
            b"tkhd" => {
                let body = read_body(source, &atom, 24)?;
                let at = if body.first() == Some(&1) { 20 } else { 12 };
                id = unsigned(&body, at, 4);
            }
            b"edts" => {
                for list in atoms(source, atom.body, atom.end)? {
                    if &list.kind != b"elst" {
                        continue;
                    }
                    let body = read_body(source, &list, 8 + 20 * MAX_EDITS as u64)?;
                    let width = if body.first() == Some(&1) { 8 } else { 4 };
                    let edits = unsigned(&body, 4, 4).map_or(0, |n| n.min(MAX_EDITS as u64));
                    start = (0..edits as usize)
                        .filter_map(|n| unsigned(&body, 8 + n * (2 * width + 4) + width, width))
                        .find(|&time| time >> (8 * width - 1) == 0);
                }
            }
            _ => {}
        }
    }
    Ok(id.and_then(|id| u32::try_from(id).ok()).zip(start))
}

/// The first `len` bytes of an atom, or all.
fn read_body(source: &mut Source, atom: &Atom, len: u64) -> io::Result<Vec<u8>> {
    read_at(source, atom.body, len.min(atom.end - atom.body))
}

/// As many of `len` bytes at `pos` as there are.
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
    fn the_first_edit_of_each_track() {
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
    fn an_index_at_the_end_promises_nothing() {
        let parts = [atom(b"ftyp", b"M4A "), atom(b"mdat", &[7; 100]), atom(b"moov", b"")];
        assert_eq!(read(parts.concat()), Some(Mp4::default()));
        assert_eq!(read(b"nothing of the sort".to_vec()), Some(Mp4::default()));
    }
}
