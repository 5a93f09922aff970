//! The codecs in Ogg: which packets are headers, and how long the others last.

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::formats::Track;
use symphonia::core::units::TimeBase;

use super::vorbis::Blocks;

/// The codec of a logical stream.
#[derive(Debug)]
pub(super) enum Mapping {
    /// RFC 7845.
    Opus,
    Vorbis {
        blocks: Option<Blocks>,
    },
    /// <https://xiph.org/flac/ogg_mapping.html>
    Flac,
}

/// A stream whose first header was read.
pub(super) struct Stream {
    pub(super) mapping: Mapping,
    pub(super) track: Track,
    /// Whether all headers were read.
    pub(super) is_ready: bool,
}

impl Stream {
    /// Opens a stream from its first packet. Returns `None` if the codec is not known.
    pub(super) fn open(serial: u32, first: &[u8]) -> Option<Self> {
        let byte = |at: usize| first.get(at).copied().map(u16::from);
        let mut params = AudioCodecParameters::new();
        let (mapping, rate, channels, extra, frames) = if first.starts_with(b"OpusHead") {
            (Mapping::Opus, 48_000, byte(9)?, first.to_vec(), 0)
        } else if first.starts_with(b"\x01vorbis") && first.len() >= 30 {
            let rate = u32::from_le_bytes([12, 13, 14, 15].map(|at| first[at]));
            (Mapping::Vorbis { blocks: None }, rate, byte(11)?, first.to_vec(), 0)
        } else if first.starts_with(b"\x7fFLAC\x01") && first.get(9..13) == Some(b"fLaC") {
            // Behind the header of the metadata block.
            let info = first.get(17..51)?;
            let word = u64::from_be_bytes([10, 11, 12, 13, 14, 15, 16, 17].map(|at| info[at]));
            let channels = (word >> 41 & 7) as u16 + 1;
            (Mapping::Flac, (word >> 44) as u32, channels, info.to_vec(), word & 0xf_ffff_ffff)
        } else {
            return None;
        };
        params
            .for_codec(match mapping {
                Mapping::Opus => CODEC_ID_OPUS,
                Mapping::Vorbis { .. } => CODEC_ID_VORBIS,
                Mapping::Flac => CODEC_ID_FLAC,
            })
            .with_sample_rate(rate)
            .with_channels(Channels::Discrete(channels))
            .with_extra_data(extra.into_boxed_slice());
        let mut track = Track::new(serial);
        track.with_codec_params(CodecParameters::Audio(params));
        track.with_time_base(TimeBase::try_from_recip(rate)?);
        if frames > 0 {
            track.with_num_frames(frames);
        }
        Some(Stream { mapping, track, is_ready: false })
    }

    /// Takes a packet. Returns how many frames it lasts, or `None` if it is a header.
    pub(super) fn take(&mut self, packet: &[u8]) -> Option<u64> {
        let is_header = match self.mapping {
            Mapping::Opus => !self.is_ready && packet.starts_with(b"OpusTags"),
            Mapping::Vorbis { .. } => packet.first().is_some_and(|first| first & 1 == 1),
            Mapping::Flac => !self.is_ready && packet.first() != Some(&0xff),
        };
        match &mut self.mapping {
            Mapping::Vorbis { blocks } if is_header => {
                if packet.starts_with(b"\x05vorbis")
                    && let Some(CodecParameters::Audio(params)) = &mut self.track.codec_params
                    && !self.is_ready
                {
                    let ident = params.extra_data.take().unwrap_or_default();
                    *blocks = Blocks::parse(&ident, packet);
                    params.extra_data = Some([&ident, packet].concat().into_boxed_slice());
                    self.is_ready = true;
                }
                None
            }
            _ if is_header => {
                self.is_ready |= matches!(self.mapping, Mapping::Opus);
                None
            }
            Mapping::Opus => {
                self.is_ready = true;
                Some(opus_frames(packet))
            }
            Mapping::Vorbis { blocks } => Some(blocks.as_mut().map_or(0, |b| b.duration(packet))),
            Mapping::Flac => {
                self.is_ready = true;
                Some(flac_frames(packet).unwrap_or(0))
            }
        }
    }
}

/// Returns the frames at 48 kHz of an Opus packet (RFC 6716, 3.1).
fn opus_frames(packet: &[u8]) -> u64 {
    let Some(&toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config % 4)],
        config @ 12..16 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u64::from(count & 63)),
    };
    frame * count
}

/// Returns the frames of a FLAC packet (RFC 9639, 9.1).
fn flac_frames(packet: &[u8]) -> Option<u64> {
    let code = packet.get(2)? >> 4;
    // Behind the frame's number, whose first byte says how long it is, as in UTF-8.
    let number = packet.get(4)?.leading_ones().max(1) as usize;
    let extra = |n: usize| packet.get(4 + number + n).copied().map(u64::from);
    match code {
        0 => None,
        1 => Some(192),
        2..=5 => Some(576 << (code - 2)),
        6 => Some(extra(0)? + 1),
        7 => Some((extra(0)? << 8 | extra(1)?) + 1),
        _ => Some(256 << (code - 8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_of_opus_and_flac() {
        assert_eq!(opus_frames(&[0x78]), 960, "20 ms, CELT at 20 kHz");
        assert_eq!(opus_frames(&[3 << 3 | 1]), 2 * 2880);
        assert_eq!(opus_frames(&[31 << 3 | 3, 0x80 | 3]), 3 * 960);
        assert_eq!(opus_frames(&[]), 0);
        assert_eq!(flac_frames(&[0xff, 0xf8, 0xc9, 0x08, 0x05, 0xaa]), Some(4096));
        assert_eq!(flac_frames(&[0xff, 0xf8, 0x69, 0x08, 0xc2, 0x80, 99, 0xaa]), Some(100));
        assert_eq!(flac_frames(&[0xff, 0xf8, 0x79, 0x08, 0x05, 1, 0, 0xaa]), Some(257));
        assert_eq!(flac_frames(&[0xff]), None);
    }
}
