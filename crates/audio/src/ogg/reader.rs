//! The demuxer: puts packets together from pages and gives each its time.

use std::collections::VecDeque;
use std::io::ErrorKind;

use symphonia::core::errors::{Error, Result, decode_error, reset_error};
use symphonia::core::formats::prelude::*;
use symphonia::core::formats::probe::{
    ProbeDataMatchSpec, ProbeFormatData, ProbeableFormat, Score, Scoreable,
};
use symphonia::core::formats::well_known::FORMAT_ID_OGG;
use symphonia::core::io::{MediaSourceStream, ScopedStream};
use symphonia::core::meta::MetadataLog;
use symphonia::core::packet::PacketBuilder;

use super::mapping::{Mapping, Stream};
use super::page::{self, Page};
use crate::forward_only::forward_only;

const INFO: FormatInfo =
    FormatInfo { format: FORMAT_ID_OGG, short_name: "ogg", long_name: "OGG Container Format" };

/// Maximum length of a packet that is put together from pages.
const MAX_PACKET: usize = 16 << 20;

/// A logical stream.
struct Logical {
    stream: Stream,
    partial: Vec<u8>,
    last_sequence: Option<u32>,
    /// Time at the end of the last page.
    end: Option<i64>,
    /// Whether pages are missing before the next packets.
    has_lost: bool,
}

/// Reads the packets of an Ogg file.
pub(crate) struct OggReader<'s> {
    stream: MediaSourceStream<'s>,
    info: MediaInfo,
    tracks: Vec<Track>,
    metadata: MetadataLog,
    logical: Vec<Logical>,
    packets: VecDeque<Packet>,
}

impl<'s> OggReader<'s> {
    fn try_new(mut stream: MediaSourceStream<'s>) -> Result<Self> {
        let Some(first) = page::next(&mut stream)? else { return decode_error("ogg: no page") };
        let mut reader = OggReader {
            stream,
            info: MediaInfo::default(),
            tracks: Vec::new(),
            metadata: MetadataLog::default(),
            logical: Vec::new(),
            packets: VecDeque::new(),
        };
        reader.begin(first)?;
        Ok(reader)
    }

    /// Reads the headers of the streams that begin with `first`.
    fn begin(&mut self, first: Page) -> Result<()> {
        /// Headers with pictures may be long, but not 64 MB.
        const MAX_PAGES: usize = 1000;
        self.logical.clear();
        self.packets.clear();
        let mut page = Some(first);
        for _ in 0..MAX_PAGES {
            let Some(current) = page.take() else { break };
            if current.is_first {
                self.open_stream(&current);
            } else {
                self.take(&current)?;
                if self.logical.iter().all(|logical| logical.stream.is_ready) {
                    break;
                }
            }
            page = page::next(&mut self.stream)?;
        }
        let ready = self.logical.iter().filter(|logical| logical.stream.is_ready);
        self.tracks = ready.map(|logical| logical.stream.track.clone()).collect();
        self.info = MediaInfo::from_tracks(&self.tracks);
        if self.tracks.is_empty() && !self.logical.is_empty() {
            return Err(Error::IoError(ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    fn open_stream(&mut self, page: &Page) {
        let first = page.packets().0.next().unwrap_or_default();
        if let Some(stream) = Stream::open(page.serial, first) {
            self.logical.push(Logical {
                stream,
                partial: Vec::new(),
                last_sequence: Some(page.sequence),
                end: None,
                has_lost: false,
            });
        }
    }

    /// Takes the packets that end in `page`.
    fn take(&mut self, page: &Page) -> Result<()> {
        let logical = self.logical.iter_mut().find(|l| l.stream.track.id == page.serial);
        let Some(logical) = logical else { return Ok(()) };
        let expected =
            logical.last_sequence.replace(page.sequence).map(|last| last.wrapping_add(1));
        let follows = expected == Some(page.sequence);
        logical.has_lost |= !follows;
        if !page.is_continued || !follows {
            logical.partial.clear();
        }
        let mut skip = page.is_continued && logical.partial.is_empty();
        let (complete, rest) = page.packets();
        let mut packets = Vec::new();
        for packet in complete {
            let mut data = std::mem::take(&mut logical.partial);
            data.extend_from_slice(packet);
            // Of the first, the beginning may be lost. Some writers end with an empty one.
            if !std::mem::replace(&mut skip, false)
                && !data.is_empty()
                && let Some(frames) = logical.stream.take(&data)
                && logical.stream.is_ready
            {
                packets.push((data, frames));
            }
        }
        if !skip {
            logical.partial.extend_from_slice(rest);
        }
        if logical.partial.len() > MAX_PACKET {
            return decode_error("ogg: a packet is too long");
        }
        logical.place(page, packets, &mut self.packets);
        Ok(())
    }

    /// Returns whether a packet was begun that does not end.
    fn is_cut_off(&self) -> bool {
        self.logical.iter().any(|logical| !logical.partial.is_empty())
    }
}

impl Logical {
    /// Gives each packet of a page its time.
    fn place(&mut self, page: &Page, packets: Vec<(Vec<u8>, u64)>, out: &mut VecDeque<Packet>) {
        if packets.is_empty() {
            return;
        }
        let frames =
            packets.iter().fold(0_i64, |sum, (_, frames)| sum.saturating_add_unsigned(*frames));
        let (start, end) = self.span(page, frames);
        // Without pages missing, nothing was sent for a while. A muxer ends the page with the first
        // packet after that, because the page then has its preferred length.
        let pause = end.saturating_sub(start).saturating_sub(frames).max(0);
        (self.end, self.has_lost) = (Some(end), false);
        let mut time = start;
        let last = packets.len() - 1;
        for (n, (data, frames)) in packets.into_iter().enumerate() {
            if n == last {
                time = time.saturating_add(pause);
            }
            let until = time.saturating_add_unsigned(frames);
            let trim_end = until.saturating_sub(end).max(0).unsigned_abs().min(frames);
            // Vorbis says with times before zero what is not to be heard; Opus in its header.
            let is_early = matches!(self.stream.mapping, Mapping::Vorbis { .. });
            let early = if is_early { time.min(0).unsigned_abs() } else { 0 };
            let trim_start = early.min(frames - trim_end);
            let packet = PacketBuilder::new()
                .track_id(page.serial)
                .pts(Timestamp::new(time))
                .dur(Duration::new(frames - trim_end - trim_start))
                .data(data)
                .trim_start(Duration::new(trim_start))
                .trim_end(Duration::new(trim_end));
            out.push_back(packet.build());
            time = until;
        }
    }

    /// Returns when a page whose packets last for `frames` begins, and when it ends.
    fn span(&self, page: &Page, frames: i64) -> (i64, i64) {
        let is_opus = matches!(self.stream.mapping, Mapping::Opus);
        let Some(granule) = page.granule else {
            let start = self.end.unwrap_or(0);
            return (start, start.saturating_add(frames));
        };
        let before = granule.saturating_sub(frames);
        let start = match self.end {
            Some(end) if !self.has_lost => end,
            // The last page may end before its last packet, and then `before` is too early.
            Some(end) if page.is_last => end.max(before),
            None if page.is_last || is_opus => before.max(0),
            _ => before,
        };
        // The last packet of the last page may be longer than what is to be heard; all others are
        // heard whole. An end before the beginning is wrong.
        let whole = start.saturating_add(frames);
        let is_padded = page.is_last && granule >= start;
        (start, if is_padded { granule } else { granule.max(whole) })
    }
}

impl FormatReader for OggReader<'_> {
    forward_only!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Ok(Some(packet));
            }
            match page::next(&mut self.stream)? {
                // The headers of the next recording (chained streams).
                Some(page) if page.is_first => {
                    self.begin(page)?;
                    return reset_error();
                }
                Some(page) => self.take(&page)?,
                None if self.is_cut_off() => {
                    return Err(Error::IoError(ErrorKind::UnexpectedEof.into()));
                }
                None => return Ok(None),
            }
        }
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        self.stream
    }
}

impl Scoreable for OggReader<'_> {
    fn score(_: ScopedStream<&mut MediaSourceStream<'_>>) -> Result<Score> {
        Ok(Score::Supported(255))
    }
}

impl ProbeableFormat<'_> for OggReader<'_> {
    fn try_probe_new(
        reader: MediaSourceStream<'_>,
        _: FormatOptions,
    ) -> Result<Box<dyn FormatReader + '_>> {
        Ok(Box::new(OggReader::try_new(reader)?))
    }

    fn probe_data() -> &'static [ProbeFormatData] {
        &[ProbeFormatData {
            spec: ProbeDataMatchSpec {
                extensions: &["ogg"],
                mime_types: &["audio/ogg"],
                markers: &[&page::MARKER],
            },
            info: INFO,
        }]
    }
}
