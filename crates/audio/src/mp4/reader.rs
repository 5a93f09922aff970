//! A demuxer for one track of an MP4 file that obeys its edit list.
//!
//! The packets' times are those of the presentation, from the start of the earliest track. What an
//! edit does not let be heard is trimmed from its packets. Each edit begins with packets before it,
//! trimmed completely, because most codecs decode a packet with the help of the one before it.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{Result, decode_error};
use symphonia::core::formats::prelude::*;
use symphonia::core::formats::well_known::FORMAT_ID_ISOMP4;
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes as _, SeekBuffered as _};
use symphonia::core::meta::MetadataLog;
use symphonia::core::packet::PacketBuilder;

use super::atoms::Atom;
use super::edits::{self, Edit};
use super::fragments::{self, Fragment};
use super::movie::{Movie, Trak};
use super::samples::{Cursor, Sample, Tables};
use crate::forward_only::forward_only;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_ISOMP4,
    short_name: "isomp4",
    long_name: "ISO Base Media File Format",
};

/// Frames of PCM in a packet.
const MAX_PCM_FRAMES: u32 = 2048;

/// Reads the packets of one track.
pub(crate) struct Mp4Reader<'s> {
    stream: MediaSourceStream<'s>,
    info: MediaInfo,
    tracks: Vec<Track>,
    metadata: MetadataLog,
    trak: Trak,
    tables: Tables,
    cursor: Cursor,
    /// Position of the first fragment, and of the atom after the last one that was read.
    fragments: Option<u64>,
    next_atom: u64,
    fragment: Fragment,
    /// The next sample.
    ahead: Option<Sample>,
    /// End of the last sample that was passed.
    passed: Option<i64>,
    edits: Vec<Edit>,
    edit: usize,
    /// When the current edit is heard.
    edit_start: i64,
    /// When the earliest track begins; known with the first packet.
    origin: Option<i64>,
    others: Vec<Other>,
}

/// Another track of sound or picture.
struct Other {
    id: u32,
    timescale: u32,
    /// Seconds at which it begins, apart from the time of its first packet.
    delay: f64,
    /// Seconds at which it begins, once known.
    start: Option<f64>,
}

impl<'s> Mp4Reader<'s> {
    /// Opens the track `id`, whose codec symphonia has read from `stream`.
    pub(crate) fn open(
        mut stream: MediaSourceStream<'s>,
        tracks: &[Track],
        movie: &Movie,
        id: u32,
    ) -> Result<Self> {
        let Some(trak) = movie.track(id).cloned() else {
            return decode_error("the index has no such track");
        };
        let tables = Tables::read(&mut stream, &trak.tables)?;
        let others = movie.tracks.iter().filter(|other| other.id != id && other.is_media);
        let others = others.map(|other| {
            let (delay, is_fragmented) = (other.start_seconds(), movie.fragments.is_some());
            let start = (!is_fragmented).then_some(delay);
            Other { id: other.id, timescale: other.timescale, delay, start }
        });
        let mut tracks = tracks.to_vec();
        for track in tracks.iter_mut().filter(|track| track.id == id) {
            let media = if movie.fragments.is_some() { 0 } else { tables.duration() };
            let duration = match &trak.edits[..] {
                [] => media,
                edits => edits::duration(edits, media),
            };
            track.duration = (duration > 0).then(|| Duration::new(duration));
            if let Some(CodecParameters::Audio(params)) = &mut track.codec_params
                && tables.is_pcm()
            {
                params.max_frames_per_packet = Some(u64::from(MAX_PCM_FRAMES));
            }
        }
        let whole = vec![Edit::WHOLE];
        Ok(Mp4Reader {
            stream,
            info: MediaInfo::from_tracks(&tracks),
            tracks,
            metadata: MetadataLog::default(),
            edits: if trak.edits.is_empty() { whole } else { trak.edits.clone() },
            tables,
            cursor: Cursor::default(),
            fragments: movie.fragments,
            next_atom: movie.fragments.unwrap_or(0),
            fragment: Fragment::default(),
            ahead: None,
            passed: None,
            edit: 0,
            edit_start: 0,
            origin: None,
            others: others.collect(),
            trak,
        })
    }

    /// Returns the next sample of the track, without passing it.
    fn peek(&mut self) -> Result<Option<Sample>> {
        while self.ahead.is_none() {
            self.ahead = self.cursor.next(&self.tables);
            if self.ahead.is_none() {
                self.ahead = self.fragment.samples.pop_front();
            }
            if self.ahead.is_none() && !self.read_fragment()? {
                return Ok(None);
            }
        }
        Ok(self.ahead)
    }

    fn pass(&mut self) {
        self.passed = self.ahead.take().map(|sample| sample.end());
    }

    /// Returns to the first sample.
    fn rewind(&mut self) {
        (self.cursor, self.fragment) = (Cursor::default(), Fragment::default());
        self.next_atom = self.fragments.unwrap_or(0);
        (self.ahead, self.passed) = (None, None);
    }

    /// Reads the next fragment. Returns `false` at the end of the file.
    fn read_fragment(&mut self) -> Result<bool> {
        if self.fragments.is_none() {
            return Ok(false);
        }
        loop {
            let pos = self.next_atom;
            let end = self.stream.byte_len().unwrap_or(u64::MAX);
            if pos >= end {
                // An atom that was cut off ends behind the file.
                return if pos > end { Err(cut_off().into()) } else { Ok(false) };
            }
            let header = self.read_bytes(pos, 16)?;
            let Some(atom) = Atom::parse(&header, pos) else {
                let is_cut = (1..8).contains(&header.len());
                return if is_cut { Err(cut_off().into()) } else { Ok(false) };
            };
            self.next_atom = atom.end;
            if &atom.kind == b"moof" {
                let body = self.read_bytes(atom.body, atom.end - atom.body)?;
                if (body.len() as u64) < atom.end - atom.body {
                    return Err(cut_off().into());
                }
                self.enter_fragment(&body, atom.start)?;
                return Ok(true);
            }
        }
    }

    fn enter_fragment(&mut self, moof: &[u8], start: u64) -> Result<()> {
        for (id, time) in fragments::starts(moof) {
            for other in self.others.iter_mut().filter(|other| other.id == id) {
                let time = time.unwrap_or(0) as f64 / f64::from(other.timescale.max(1));
                other.start.get_or_insert(other.delay + time);
            }
        }
        let (id, defaults, time) = (self.trak.id, self.trak.defaults, self.fragment.end);
        match fragments::parse(moof, start, id, defaults, time) {
            Some(fragment) => self.fragment = fragment,
            None => return decode_error("isomp4: invalid fragment"),
        }
        Ok(())
    }

    /// Goes on with the next edit, at the packets that its first one needs.
    fn next_edit(&mut self) {
        if let Some(edit) = self.edits.get(self.edit) {
            let heard = edit.duration.unwrap_or_else(|| {
                let end = self.passed.unwrap_or(0).max(0).unsigned_abs();
                end.saturating_sub(edit.media.unwrap_or(end))
            });
            let heard = i64::try_from(heard).unwrap_or(i64::MAX);
            self.edit_start = self.edit_start.saturating_add(heard);
        }
        self.edit += 1;
        let media = self.edits.get(self.edit).and_then(|edit| edit.media);
        if media.is_some_and(|media| self.passed.is_some_and(|at| at > self.warm_up(media))) {
            self.rewind();
        }
    }

    /// Returns the time from which packets are decoded for audio from `media` on.
    fn warm_up(&self, media: u64) -> i64 {
        // The longest that a codec needs are 80 ms (Opus) and, at low rates, ten frames of MP3.
        let lead = i64::from(self.trak.timescale) / 4;
        i64::try_from(media).unwrap_or(i64::MAX).saturating_sub(lead)
    }

    /// Returns the time, in units of the track, at which the earliest track begins.
    fn origin(&mut self, first: i64) -> i64 {
        let timescale = f64::from(self.trak.timescale.max(1));
        *self.origin.get_or_insert_with(|| {
            let starts = self.others.iter().filter_map(|other| other.start);
            starts.map(|seconds| (seconds * timescale).round() as i64).fold(first, i64::min)
        })
    }

    fn read(&mut self, sample: &Sample) -> Result<Vec<u8>> {
        let data = self.read_bytes(sample.pos, u64::from(sample.size))?;
        if data.len() < sample.size as usize { Err(cut_off().into()) } else { Ok(data) }
    }

    /// Reads up to `len` bytes at `pos`.
    fn read_bytes(&mut self, pos: u64, len: u64) -> std::io::Result<Vec<u8>> {
        /// Data of other tracks up to this length is read rather than skipped, which costs a request
        /// to a remote store.
        const MAX_READ_OVER: u64 = 2 << 20;
        if self.stream.pos() != pos && self.stream.seek_buffered(pos) != pos {
            match pos.checked_sub(self.stream.pos()) {
                Some(gap @ 0..MAX_READ_OVER) => self.stream.ignore_bytes(gap)?,
                _ => {
                    self.stream.seek(SeekFrom::Start(pos))?;
                }
            }
        }
        // Piece by piece: the length may be any number, and what is too long must not be read.
        const PIECE: u64 = 64 * 1024;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            let piece = (len - bytes.len() as u64).min(PIECE);
            if (&mut self.stream).take(piece).read_to_end(&mut bytes)? < piece as usize {
                break;
            }
        }
        Ok(bytes)
    }

    /// Adds the frames of PCM that follow a sample of one frame.
    fn gather(&mut self, sample: &mut Sample, until: i64) -> Result<()> {
        while self.tables.is_pcm() && sample.duration < MAX_PCM_FRAMES {
            let Some(next) = self.peek()? else { break };
            let follows = next.pos == sample.pos.saturating_add(u64::from(sample.size));
            if !follows || next.time != sample.end() || next.time >= until {
                break;
            }
            sample.size = sample.size.saturating_add(next.size);
            sample.duration = sample.duration.saturating_add(next.duration);
            self.pass();
        }
        Ok(())
    }
}

fn cut_off() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}

impl FormatReader for Mp4Reader<'_> {
    forward_only!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            let Some(&edit) = self.edits.get(self.edit) else { return Ok(None) };
            let Some(media) = edit.media else {
                self.next_edit();
                continue;
            };
            let Some(mut sample) = self.peek()? else {
                self.next_edit();
                continue;
            };
            let from = i64::try_from(media).unwrap_or(i64::MAX);
            let until = edit.end().and_then(|end| i64::try_from(end).ok()).unwrap_or(i64::MAX);
            if sample.time >= until {
                self.next_edit();
                continue;
            }
            self.pass();
            if sample.end() <= self.warm_up(media) {
                continue;
            }
            self.gather(&mut sample, until)?;
            let (start, end) = (sample.time, sample.end());
            let heard = self.edit_start.saturating_add(start.saturating_sub(from).max(0));
            let origin = self.origin(heard);
            let pts = self.edit_start.saturating_add(start.saturating_sub(from));
            let trim_start = from.saturating_sub(start).max(0).unsigned_abs();
            let kept = end.min(until).saturating_sub(start.max(from)).max(0).unsigned_abs();
            // The last packet of many files has more audio than its duration says.
            let trim_end =
                if end >= until { end.saturating_sub(until).max(1).unsigned_abs() } else { 0 };
            let data = self.read(&sample)?;
            let packet = PacketBuilder::new()
                .track_id(self.trak.id)
                .pts(Timestamp::new(pts.saturating_sub(origin)))
                .dur(Duration::new(kept))
                .data(data)
                .trim_start(Duration::new(trim_start))
                .trim_end(Duration::new(trim_end));
            return Ok(Some(packet.build()));
        }
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        self.stream
    }
}
