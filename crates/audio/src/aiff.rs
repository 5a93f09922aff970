//! A demuxer for AIFF and AIFF-C (Apple, AIFF-C draft of 1991).
//!
//! symphonia's own refuses a `FORM` whose length is wrong, which players do not read, more than one
//! chunk of a kind, and IMA ADPCM, whose decoder it has.

use std::io::{ErrorKind, Seek as _, SeekFrom};

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::formats::prelude::*;
use symphonia::core::formats::probe::{
    ProbeDataMatchSpec, ProbeFormatData, ProbeableFormat, Score, Scoreable,
};
use symphonia::core::formats::well_known::FORMAT_ID_AIFF;
use symphonia::core::io::{MediaSourceStream, ReadBytes, ScopedStream};
use symphonia::core::meta::MetadataLog;

use crate::blocks::{BlockReader, Blocks};
use crate::forward_only::forward_only;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_AIFF,
    short_name: "aiff",
    long_name: "Audio Interchange File Format",
};

/// Reads the packets of an AIFF file.
pub(crate) struct AiffReader<'s> {
    reader: MediaSourceStream<'s>,
    info: MediaInfo,
    tracks: Vec<Track>,
    metadata: MetadataLog,
    /// Of the `SSND` chunk.
    audio: BlockReader,
}

/// The `COMM` chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Common {
    channels: u16,
    sample_rate: u32,
    codec: AudioCodecId,
    blocks: Blocks,
}

impl Common {
    fn parse(chunk: &[u8]) -> Result<Self> {
        let &[c0, c1, _, _, _, _, b0, b1, ref rest @ ..] = chunk else {
            return decode_error("aiff: the COMM chunk is too short");
        };
        let (channels, bits) = (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([b0, b1]));
        let sample_rate = rest.first_chunk().map_or(0.0, extended);
        if channels == 0 {
            return decode_error("the header declares zero channels");
        }
        if !(1.0..=f64::from(u32::MAX)).contains(&sample_rate) {
            return decode_error("the header declares an impossible sample rate");
        }
        let Some(codec) = codec(compression(chunk), bits) else {
            return unsupported_error("aiff: compression type");
        };
        let per_sample = match codec {
            CODEC_ID_PCM_S8 | CODEC_ID_PCM_U8 | CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => 1,
            CODEC_ID_PCM_S16BE | CODEC_ID_PCM_S16LE => 2,
            CODEC_ID_PCM_S24BE | CODEC_ID_PCM_S24LE => 3,
            CODEC_ID_PCM_F64BE => 8,
            CODEC_ID_ADPCM_IMA_QT => 34,
            _ => 4,
        };
        Ok(Self {
            channels,
            sample_rate: sample_rate as u32,
            codec,
            blocks: Blocks {
                bytes: per_sample * u64::from(channels),
                frames: if codec == CODEC_ID_ADPCM_IMA_QT { 64 } else { 1 },
            },
        })
    }
}

/// Returns the compression type of a `COMM` chunk, which AIFF without C does not have.
fn compression(common: &[u8]) -> [u8; 4] {
    common.get(18..22).and_then(|kind| kind.try_into().ok()).unwrap_or(*b"NONE")
}

/// Returns the compression type of the file that begins with `head`.
pub(crate) fn compression_of_file(head: &[u8]) -> Option<[u8; 4]> {
    let at = head.windows(4).position(|id| id == b"COMM")?;
    head.get(at + 8..).map(compression)
}

fn codec(compression: [u8; 4], bits: u16) -> Option<AudioCodecId> {
    // Samples are stored in whole bytes, with the value in the upper bits.
    let mut kind = compression;
    kind.make_ascii_lowercase();
    Some(match (&kind, bits.div_ceil(8)) {
        (b"none" | b"twos" | b"sowt", 1) => CODEC_ID_PCM_S8,
        (b"none" | b"twos", 2) => CODEC_ID_PCM_S16BE,
        (b"none" | b"twos", 3) | (b"in24", _) => CODEC_ID_PCM_S24BE,
        (b"none" | b"twos", 4) | (b"in32", _) => CODEC_ID_PCM_S32BE,
        (b"sowt", 2) => CODEC_ID_PCM_S16LE,
        (b"sowt", 3) | (b"42ni", _) => CODEC_ID_PCM_S24LE,
        (b"sowt", 4) | (b"23ni", _) => CODEC_ID_PCM_S32LE,
        (b"raw ", _) => CODEC_ID_PCM_U8,
        (b"fl32", _) => CODEC_ID_PCM_F32BE,
        (b"fl64", _) => CODEC_ID_PCM_F64BE,
        (b"alaw", _) => CODEC_ID_PCM_ALAW,
        (b"ulaw", _) => CODEC_ID_PCM_MULAW,
        (b"ima4", _) => CODEC_ID_ADPCM_IMA_QT,
        _ => return None,
    })
}

/// Returns the value of an 80-bit floating-point number.
fn extended(bytes: &[u8; 10]) -> f64 {
    let exponent = i32::from(u16::from_be_bytes([bytes[0], bytes[1]]) & 0x7fff) - 16_383 - 63;
    let mantissa = bytes[2..].iter().fold(0_u64, |value, &b| value << 8 | u64::from(b));
    mantissa as f64 * 2_f64.powi(exponent)
}

impl<'s> AiffReader<'s> {
    fn try_new(mut reader: MediaSourceStream<'s>) -> Result<Self> {
        reader.ignore_bytes(12)?;
        let (mut common, mut sound) = (None, None);
        loop {
            // The length of FORM is not looked at: the chunks tell where they end.
            let (id, len) = match chunk_header(&mut reader)? {
                Some(header) => header,
                None if common.is_some() => break,
                None => return decode_error("aiff: the file ends before its COMM chunk"),
            };
            match &id {
                b"COMM" => {
                    const MAX: u64 = 64 * 1024;
                    if len > MAX {
                        return decode_error("aiff: the COMM chunk has an impossible length");
                    }
                    let chunk = reader.read_boxed_slice_exact(len as usize)?;
                    common = Some(Common::parse(&chunk)?);
                    reader.ignore_bytes(len & 1)?;
                }
                b"SSND" => {
                    let offset = u64::from(reader.read_be_u32()?);
                    reader.read_be_u32()?; // The size of blocks, which nobody uses.
                    reader.ignore_bytes(offset)?;
                    // A writer that could not seek back leaves 0.
                    let known = len != 0 && len != u64::from(u32::MAX);
                    let data = known.then(|| len.saturating_sub(8 + offset));
                    sound = Some((reader.pos(), data));
                    if common.is_some() {
                        break;
                    }
                    let Some(data) = data else {
                        return decode_error("aiff: the COMM chunk comes after audio without end");
                    };
                    reader.ignore_bytes(data + (len & 1))?;
                }
                _ => reader.ignore_bytes(len + (len & 1))?,
            }
            if let (Some(_), Some((start, _))) = (&common, sound) {
                reader.seek(SeekFrom::Start(start))?;
                break;
            }
        }
        let Some(common) = common else { return decode_error("aiff: no COMM chunk") };
        Ok(Self::with_sound(reader, common, sound.map_or(Some(0), |(_, len)| len)))
    }

    fn with_sound(reader: MediaSourceStream<'s>, common: Common, len: Option<u64>) -> Self {
        let Common { channels, sample_rate, codec, blocks } = common;
        let track = blocks.track(codec, sample_rate, channels, len);
        AiffReader {
            reader,
            info: MediaInfo::from_track(&track),
            tracks: vec![track],
            metadata: MetadataLog::default(),
            audio: BlockReader::new(blocks, len),
        }
    }
}

/// Reads the header of a chunk. Returns `None` at the end of the file.
fn chunk_header(reader: &mut MediaSourceStream<'_>) -> Result<Option<([u8; 4], u64)>> {
    match reader.read_quad_bytes() {
        Ok(id) => Ok(Some((id, u64::from(reader.read_be_u32()?)))),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl FormatReader for AiffReader<'_> {
    forward_only!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        self.audio.next_packet(&mut self.reader)
    }

    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        self.reader
    }
}

impl Scoreable for AiffReader<'_> {
    fn score(mut source: ScopedStream<&mut MediaSourceStream<'_>>) -> Result<Score> {
        source.ignore_bytes(8)?;
        let is_aiff = matches!(&source.read_quad_bytes()?, b"AIFF" | b"AIFC");
        Ok(if is_aiff { Score::Supported(255) } else { Score::Unsupported })
    }
}

impl ProbeableFormat<'_> for AiffReader<'_> {
    fn try_probe_new(
        reader: MediaSourceStream<'_>,
        _: FormatOptions,
    ) -> Result<Box<dyn FormatReader + '_>> {
        Ok(Box::new(AiffReader::try_new(reader)?))
    }

    fn probe_data() -> &'static [ProbeFormatData] {
        &[ProbeFormatData {
            spec: ProbeDataMatchSpec {
                extensions: &["aiff"],
                mime_types: &["audio/aiff"],
                markers: &[b"FORM"],
            },
            info: INFO,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sample_rate() {
        let rate = |bytes: [u8; 4]| {
            let mut number = [0; 10];
            number[..4].copy_from_slice(&bytes);
            extended(&number)
        };
        assert_eq!(rate([0x40, 0x0e, 0xac, 0x44]), 44_100.0);
        assert_eq!(rate([0x40, 0x0b, 0xfa, 0x00]), 8000.0);
        assert_eq!(rate([0x7f, 0xff, 0xff, 0xff]), f64::INFINITY);
    }

    #[test]
    fn finds_the_compression_type() {
        let mut file = b"FORM\0\0\0\0AIFCFVER\0\0\0\x04\0\0\0\0COMM\0\0\0\x18".to_vec();
        file.extend([0; 18]);
        file.extend(b"GSM \0\0");
        assert_eq!(compression_of_file(&file), Some(*b"GSM "));
        assert_eq!(compression_of_file(&file[..40]), Some(*b"NONE"));
        assert_eq!(compression_of_file(b"FORM"), None);
        assert_eq!(codec(*b"GSM ", 16), None);
        assert_eq!(codec(*b"SOWT", 12), Some(CODEC_ID_PCM_S16LE));
    }
}
