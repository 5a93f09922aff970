//! Puts back the bytes that a Matroska file omits at the start of every frame of a track
//! (ContentCompAlgo 3, RFC 9559), as old versions of mkvmerge did by default.

use symphonia::core::errors::Result;
use symphonia::core::formats::prelude::*;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::Metadata;

/// A demuxer whose packets get a prefix.
pub(crate) struct HeaderStripping {
    reader: Box<dyn FormatReader>,
    /// Track ids with the bytes that their packets lack.
    prefixes: Vec<(u32, Vec<u8>)>,
}

impl HeaderStripping {
    /// Wraps `reader` if there are prefixes to put back.
    pub(crate) fn wrap(
        reader: Box<dyn FormatReader>,
        prefixes: Vec<(u32, Vec<u8>)>,
    ) -> Box<dyn FormatReader> {
        if prefixes.is_empty() { reader } else { Box::new(Self { reader, prefixes }) }
    }
}

impl FormatReader for HeaderStripping {
    fn format_info(&self) -> &FormatInfo {
        self.reader.format_info()
    }

    fn media_info(&self) -> &MediaInfo {
        self.reader.media_info()
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.reader.metadata()
    }

    fn seek(&mut self, mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        self.reader.seek(mode, to)
    }

    fn tracks(&self) -> &[Track] {
        self.reader.tracks()
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some(mut packet) = self.reader.next_packet()? else { return Ok(None) };
        if let Some((_, prefix)) = self.prefixes.iter().find(|(id, _)| *id == packet.track_id) {
            packet.data = [prefix, &packet.data[..]].concat().into();
        }
        Ok(Some(packet))
    }

    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        self.reader.into_inner()
    }
}
