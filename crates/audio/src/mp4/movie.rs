//! The index of an MP4 file (`moov`): the tracks, their edit lists, and where their tables are.

use std::io::{self, Seek as _, SeekFrom};

use symphonia::core::io::MediaSource as _;

use super::atoms::{Atom, atoms, child, read_body, u32_at, unsigned};
use super::edits::{self, Edit};
use super::fragments::Defaults;
use super::samples::TableAtoms;
use crate::Error;
use crate::source::Source;

/// Properties read from an MP4 file; empty for other files.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Movie {
    /// End of the audio data (`mdat`), in a file whose index (`moov`) comes first.
    pub(crate) end_of_data: Option<u64>,
    /// Start of the first fragment, or of what follows the index if there is none.
    pub(super) fragments: Option<u64>,
    /// Seconds that all fragments last, if the index says so.
    pub(crate) fragments_seconds: Option<f64>,
    pub(super) tracks: Vec<Trak>,
    /// Start and length of another file put after this one, in bytes.
    pub(crate) appended: Option<(u64, u64)>,
}

/// A track.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Trak {
    pub(super) id: u32,
    /// Whether it is sound or picture. Only those have a place in time that counts.
    pub(super) is_media: bool,
    /// Units of time in a second.
    pub(super) timescale: u32,
    /// Empty without an edit list: all of the media is heard.
    pub(super) edits: Vec<Edit>,
    pub(super) tables: TableAtoms,
    pub(super) defaults: Defaults,
    /// Whether it is big-endian PCM that symphonia decodes as little-endian.
    is_big_endian: bool,
}

impl Trak {
    /// Returns the seconds after which the track begins.
    pub(super) fn start_seconds(&self) -> f64 {
        edits::start(&self.edits) as f64 / f64::from(self.timescale.max(1))
    }
}

impl Movie {
    /// Reads the atoms of `source` from its beginning and restores its position.
    pub(crate) fn read(source: &mut Source) -> Result<Self, Error> {
        let position = source.stream_position().map_err(Error::Read)?;
        let movie = read_movie(source).map_err(Error::Read)?;
        source.seek(SeekFrom::Start(position)).map_err(Error::Read)?;
        movie
    }

    /// Returns whether the track is PCM that symphonia would decode to noise.
    pub(crate) fn is_big_endian(&self, track: u32) -> bool {
        self.track(track).is_some_and(|track| track.is_big_endian)
    }

    /// Returns whether the index has the tables of the track, so that its packets can be read.
    pub(crate) fn has_track(&self, id: u32) -> bool {
        self.track(id).is_some_and(|track| track.timescale > 0)
    }

    pub(super) fn track(&self, id: u32) -> Option<&Trak> {
        self.tracks.iter().find(|track| track.id == id)
    }
}

fn read_movie(source: &mut Source) -> io::Result<Result<Movie, Error>> {
    let mut movie = Movie::default();
    let mut has_index = false;
    // Stops at the first atom with audio data after the index.
    let found = atoms(source, 0, u64::MAX, |atom, before| {
        matches!(&atom.kind, b"mdat" | b"moof") && before.iter().any(|a| &a.kind == b"moov")
    })?;
    for atom in &found {
        match &atom.kind {
            b"mdat" if has_index => movie.end_of_data = Some(atom.end),
            b"moov" if !has_index => {
                has_index = true;
                if let Err(error) = read_index(source, atom, &mut movie)? {
                    return Ok(Err(error));
                }
                // The index may have been written last.
                let is_last = found.iter().any(|a| &a.kind == b"moof" && a.end <= atom.start);
                movie.fragments = movie.fragments.map(|_| if is_last { 0 } else { atom.end });
            }
            _ => {}
        }
    }
    movie.appended = find_appended(source, &found, movie.end_of_data)?;
    Ok(Ok(movie))
}

/// Finds the beginning of a second file among the atoms that were read, or after the audio data.
fn find_appended(
    source: &mut Source,
    found: &[Atom],
    end_of_data: Option<u64>,
) -> io::Result<Option<(u64, u64)>> {
    let Some(length) = source.byte_len() else { return Ok(None) };
    let is_file = |atom: &&Atom| &atom.kind == b"ftyp";
    let mut start = found.iter().skip(1).find(is_file).map(|atom| atom.start);
    if let (None, Some(end)) = (start, end_of_data.filter(|&end| end < length)) {
        let next = atoms(source, end, length, |_, _| true)?;
        start = next.first().filter(is_file).map(|atom| atom.start);
    }
    Ok(start.map(|start| (start, length.saturating_sub(start))))
}

fn read_index(
    source: &mut Source,
    moov: &Atom,
    movie: &mut Movie,
) -> io::Result<Result<(), Error>> {
    let mut timescale = 0;
    for atom in atoms(source, moov.body, moov.end, |_, _| false)? {
        match &atom.kind {
            b"mvhd" => timescale = read_timescale(source, &atom)?,
            b"trak" => match read_track(source, &atom, timescale)? {
                Ok(track) => movie.tracks.extend(track),
                Err(error) => return Ok(Err(error)),
            },
            b"mvex" => {
                movie.fragments = Some(moov.end);
                read_extends(source, &atom, timescale, movie)?;
            }
            _ => {}
        }
    }
    Ok(Ok(()))
}

/// Reads the units per second in an `mvhd` or `mdhd` atom.
fn read_timescale(source: &mut Source, header: &Atom) -> io::Result<u32> {
    let body = read_body(source, header, 24)?;
    let at = if body.first() == Some(&1) { 20 } else { 12 };
    Ok(u32_at(&body, at).unwrap_or(0))
}

fn read_track(
    source: &mut Source,
    trak: &Atom,
    movie_timescale: u32,
) -> io::Result<Result<Option<Trak>, Error>> {
    let (mut track, mut list, mut has_id) = (Trak::default(), None, false);
    for atom in atoms(source, trak.body, trak.end, |_, _| false)? {
        match &atom.kind {
            b"tkhd" => {
                let body = read_body(source, &atom, 24)?;
                let at = if body.first() == Some(&1) { 20 } else { 12 };
                has_id = u32_at(&body, at).map(|id| track.id = id).is_some();
            }
            b"edts" => {
                list = match child(source, &atom, b"elst")? {
                    Some(elst) => Some(read_body(source, &elst, edits::MAX_BYTES)?),
                    None => None,
                }
            }
            b"mdia" => read_media(source, &atom, &mut track)?,
            _ => {}
        }
    }
    if let Some(list) = list {
        let Some(edits) = edits::parse(&list, movie_timescale, track.timescale) else {
            let reason = format!("an edit list with more than {} entries", edits::MAX_EDITS);
            return Ok(Err(Error::corrupt(reason)));
        };
        track.edits = edits;
    }
    Ok(Ok(has_id.then_some(track)))
}

fn read_media(source: &mut Source, mdia: &Atom, track: &mut Trak) -> io::Result<()> {
    for atom in atoms(source, mdia.body, mdia.end, |_, _| false)? {
        match &atom.kind {
            b"mdhd" => track.timescale = read_timescale(source, &atom)?,
            b"hdlr" => {
                let body = read_body(source, &atom, 12)?;
                track.is_media = matches!(body.get(8..12), Some(b"soun" | b"vide"));
            }
            b"minf" => {
                let Some(tables) = child(source, &atom, b"stbl")? else { continue };
                for atom in atoms(source, tables.body, tables.end, |_, _| false)? {
                    let known = &mut track.tables;
                    match &atom.kind {
                        b"stsd" => track.is_big_endian = is_big_endian(source, &atom)?,
                        b"stts" => known.stts = Some(atom),
                        b"ctts" => known.ctts = Some(atom),
                        b"stsc" => known.stsc = Some(atom),
                        b"stsz" => known.stsz = Some(atom),
                        b"stco" => known.stco = Some(atom),
                        b"co64" => known.co64 = Some(atom),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads what holds for all fragments (`mvex`).
fn read_extends(
    source: &mut Source,
    mvex: &Atom,
    timescale: u32,
    movie: &mut Movie,
) -> io::Result<()> {
    for atom in atoms(source, mvex.body, mvex.end, |_, _| false)? {
        let body = read_body(source, &atom, 24)?;
        match &atom.kind {
            b"mehd" => {
                let width = if body.first() == Some(&1) { 8 } else { 4 };
                let duration = unsigned(&body, 4, width).filter(|&n| n > 0 && timescale > 0);
                movie.fragments_seconds = duration.map(|n| n as f64 / f64::from(timescale));
            }
            b"trex" => {
                let defaults = Defaults {
                    duration: u32_at(&body, 12).unwrap_or(0),
                    size: u32_at(&body, 16).unwrap_or(0),
                };
                let id = u32_at(&body, 4);
                for track in movie.tracks.iter_mut().filter(|track| Some(track.id) == id) {
                    track.defaults = defaults;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns whether the samples are 24-bit or wider, in a format whose byte order a separate atom
/// declares (QuickTime File Format, `enda`), and that atom does not say little-endian.
fn is_big_endian(source: &mut Source, description: &Atom) -> io::Result<bool> {
    let body = read_body(source, description, 256)?;
    let is_wide = body
        .get(12..16)
        .is_some_and(|kind| [b"in24", b"in32", b"fl32", b"fl64"].iter().any(|k| kind == *k));
    Ok(is_wide && !body.windows(6).any(|bytes| bytes == b"enda\0\x01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = (body.len() as u32 + 8).to_be_bytes();
        [&size, kind.as_slice(), body].concat()
    }

    fn read(bytes: Vec<u8>) -> Option<Movie> {
        let mut source = Source::open(Box::new(io::Cursor::new(bytes)), u64::MAX).ok()?;
        Movie::read(&mut source).ok()
    }

    fn header(kind: &[u8; 4], timescale: u32) -> Vec<u8> {
        atom(kind, &[&[0; 12], timescale.to_be_bytes().as_slice(), &[0; 80]].concat())
    }

    #[test]
    fn reads_the_edits_and_tables_of_each_track() {
        let tkhd = |id: u8| atom(b"tkhd", &[&[0; 15], [id].as_slice()].concat());
        let mut list = vec![0, 0, 0, 0, 0, 0, 0, 2];
        list.extend([0, 0, 0x0f, 0xa0, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0]); // empty, 4 s
        list.extend([0, 0, 0x03, 0xe8, 0, 0, 4, 0, 0, 1, 0, 0]); // 1 s
        let edits = atom(b"edts", &atom(b"elst", &list));
        let hdlr = |kind: &[u8]| atom(b"hdlr", &[&[0; 8], kind, &[0; 12]].concat());
        let stbl = atom(b"stbl", &[atom(b"stts", b"abc"), atom(b"co64", b"de")].concat());
        let mdia = |kind: &[u8]| {
            let parts = [header(b"mdhd", 16_000), hdlr(kind), atom(b"minf", &stbl)];
            atom(b"mdia", &parts.concat())
        };
        let trak = |parts: &[Vec<u8>]| atom(b"trak", &parts.concat());
        let tracks = [
            header(b"mvhd", 1000),
            trak(&[tkhd(1), mdia(b"soun"), edits]),
            trak(&[tkhd(2), mdia(b"tmcd")]),
        ];
        let moov = atom(b"moov", &tracks.concat());
        let file = [atom(b"ftyp", b"M4A "), moov, atom(b"mdat", &[7; 100])].concat();
        let end = file.len() as u64;
        for len in [file.len(), file.len() - 50] {
            let movie = read(file[..len].to_vec()).unwrap_or_default();
            assert_eq!((movie.end_of_data, movie.fragments), (Some(end), None));
            let [sound, other] = &movie.tracks[..] else { panic!("{movie:?}") };
            assert_eq!((sound.id, sound.timescale, sound.is_media), (1, 16_000, true));
            let expected = [
                Edit { media: None, duration: Some(64_000) },
                Edit { media: Some(1024), duration: Some(16_000) },
            ];
            assert_eq!(sound.edits, expected);
            assert_eq!(sound.start_seconds(), 4.0);
            let tables = &sound.tables;
            assert!(tables.stts.is_some() && tables.co64.is_some() && tables.stco.is_none());
            assert_eq!((other.id, other.is_media, other.edits.len()), (2, false, 0));
        }
    }

    #[test]
    fn reads_what_holds_for_fragments() {
        let tkhd = atom(b"tkhd", &[&[0; 15], [3].as_slice()].concat());
        let trex = [0, 3, 1, 1024, 99, 0].map(u32::to_be_bytes).concat();
        let mvex = [atom(b"mehd", &[0, 0, 0, 0, 0, 0, 0x27, 0x10]), atom(b"trex", &trex)];
        let parts = [header(b"mvhd", 1000), atom(b"trak", &tkhd), atom(b"mvex", &mvex.concat())];
        let moov = atom(b"moov", &parts.concat());
        let movie = read([moov.clone(), atom(b"moof", &[])].concat()).unwrap_or_default();
        assert_eq!(movie.fragments, Some(moov.len() as u64));
        assert_eq!(movie.fragments_seconds, Some(10.0));
        assert_eq!(movie.tracks[0].defaults, Defaults { duration: 1024, size: 99 });
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
        assert_eq!(read(parts.concat()), Some(Movie::default()), "no fragments either");
        assert_eq!(read(b"not an MP4 file".to_vec()), Some(Movie::default()));
    }
}
