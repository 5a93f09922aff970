//! Audio in blocks of one size, as WAV and AIFF hold it: frames of PCM, or blocks of ADPCM.

use std::io::ErrorKind;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result;
use symphonia::core::formats::Track;
use symphonia::core::io::{MediaSourceStream, ReadBytes};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

/// Approximate length of a packet in bytes.
const PACKET_BYTES: u64 = 16 * 1024;

/// Size of a coding unit: one frame of PCM, or one block of ADPCM.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blocks {
    /// Not zero.
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
}

impl Blocks {
    /// Returns the number of frames in the complete blocks of `len` bytes.
    pub(crate) fn frames_in(self, len: u64) -> u64 {
        len / self.bytes * self.frames
    }

    /// Returns the number of bytes of a packet.
    fn packet_bytes(self) -> u64 {
        (PACKET_BYTES / self.bytes).max(1) * self.bytes
    }

    /// Describes a track of `len` bytes; `None` if it extends to the end of the file.
    pub(crate) fn track(
        self,
        codec: AudioCodecId,
        sample_rate: u32,
        channels: u16,
        len: Option<u64>,
    ) -> Track {
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(codec)
            .with_sample_rate(sample_rate)
            .with_channels(Channels::Discrete(channels))
            .with_max_frames_per_packet(self.frames_in(self.packet_bytes()))
            .with_frames_per_block(self.frames);
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(params));
        if let Some(frames) = len.map(|len| self.frames_in(len)) {
            track.with_num_frames(frames).with_duration(Duration::new(frames));
        }
        track
    }
}

/// Reads packets of whole blocks.
pub(crate) struct BlockReader {
    blocks: Blocks,
    next_pts: u64,
    /// Bytes left in the chunk; `None` if it extends to the end of the file.
    remaining: Option<u64>,
}

impl BlockReader {
    /// Creates a reader of a chunk of `len` bytes; `None` if it extends to the end of the file.
    pub(crate) fn new(blocks: Blocks, len: Option<u64>) -> Self {
        BlockReader { blocks, next_pts: 0, remaining: len }
    }

    /// Continues with another chunk.
    pub(crate) fn begin_chunk(&mut self, len: Option<u64>) {
        self.remaining = len;
    }

    /// Returns whether no whole block is left in the chunk.
    pub(crate) fn is_at_end(&self) -> bool {
        self.remaining.is_some_and(|remaining| remaining < self.blocks.bytes)
    }

    /// Returns the next packet, or `None` at the end of the chunk or of the file.
    pub(crate) fn next_packet(
        &mut self,
        reader: &mut MediaSourceStream<'_>,
    ) -> Result<Option<Packet>> {
        if self.is_at_end() {
            return Ok(None);
        }
        let wanted = self.blocks.packet_bytes();
        let wanted = self.remaining.map_or(wanted, |remaining| remaining.min(wanted));
        let mut data = match reader.read_boxed_slice(wanted as usize) {
            Ok(data) => data.into_vec(),
            // Without a declared length, the audio ends with the file.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof && self.remaining.is_none() => {
                Vec::new()
            }
            Err(e) => return Err(e.into()),
        };
        let frames = self.blocks.frames_in(data.len() as u64);
        if frames == 0 {
            return Ok(None);
        }
        self.remaining = self.remaining.map(|remaining| remaining - data.len() as u64);
        data.truncate((frames / self.blocks.frames * self.blocks.bytes) as usize);
        let pts = self.next_pts;
        self.next_pts += frames;
        Ok(Some(Packet::new(0, Timestamp::new(pts as i64), Duration::new(frames), data)))
    }
}
