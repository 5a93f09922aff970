//! A demuxer for WAV files as recorders and telephone systems write them.
//!
//! symphonia's own demuxer refuses headers that every player accepts: A-law with a 16-byte `fmt `
//! chunk, a `data` chunk longer than its `RIFF`, lengths left at 0 by a recorder that was switched
//! off. It also lacks RF64 (EBU Tech 3306), the format of recordings beyond 4 GB.

use std::io::ErrorKind;

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::common::FourCc;
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::formats::prelude::*;
use symphonia::core::formats::probe::{
    ProbeDataMatchSpec, ProbeFormatData, ProbeableFormat, Score, Scoreable,
};
use symphonia::core::formats::well_known::FORMAT_ID_WAVE;
use symphonia::core::io::{MediaSourceStream, ReadBytes, ScopedStream};
use symphonia::core::meta::MetadataLog;
use symphonia::default::formats::{AdtsReader, MpaReader};

use crate::blocks::{BlockReader, Blocks};
use crate::forward_only::forward_only;
use crate::wav_data::{DataChunks, More};
use crate::{codec_names, mp2, notes};

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_WAVE,
    short_name: "wav",
    long_name: "Waveform Audio File Format",
};

/// Reads the packets of a WAV file.
pub(crate) struct WavReader<'s> {
    reader: MediaSourceStream<'s>,
    info: MediaInfo,
    tracks: Vec<Track>,
    metadata: MetadataLog,
    format: Format,
    blocks: Blocks,
    /// Of the `data` chunk that is being read.
    audio: BlockReader,
    data: DataChunks,
}

/// The `fmt ` chunk: WAVEFORMATEX or WAVEFORMATEXTENSIBLE (Microsoft, mmreg.h).
#[derive(PartialEq)]
struct Format {
    tag: u16,
    channels: u16,
    sample_rate: u32,
    bytes_per_second: u32,
    block_align: u16,
    bits: u16,
}

impl Format {
    fn parse(chunk: &[u8]) -> Result<Self> {
        let u16_at = |at: usize| match chunk.get(at..at + 2) {
            Some(bytes) => u16::from_le_bytes([bytes[0], bytes[1]]),
            None => 0,
        };
        let mut format = Format {
            tag: u16_at(0),
            channels: u16_at(2),
            sample_rate: u32::from(u16_at(4)) | u32::from(u16_at(6)) << 16,
            bytes_per_second: u32::from(u16_at(8)) | u32::from(u16_at(10)) << 16,
            block_align: u16_at(12),
            bits: u16_at(14),
        };
        const EXTENSIBLE: u16 = 0xfffe;
        if format.tag == EXTENSIBLE {
            // The GUID of the sub-format begins with its format tag.
            format.tag = u16_at(24);
        }
        if format.channels == 0 {
            return decode_error("the header declares zero channels");
        }
        if format.sample_rate == 0 {
            return decode_error("the header declares a sample rate of zero");
        }
        Ok(format)
    }

    /// Returns whether the data are a stream with headers of its own, for [`nested`].
    fn is_nested(&self) -> bool {
        let bits = self.bytes_per_second.saturating_mul(8);
        match self.tag {
            LAYER_2 => !mp2::is_refused_rate(self.channels, bits),
            LAYER_3 | ADTS => true,
            _ => false,
        }
    }

    /// Returns the number of bits in which a sample is stored. Samples of 17 to 24 bits may be stored
    /// in 24 or in 32, which follows only from the block length.
    fn stored_bits(&self) -> u32 {
        let rounded = u32::from(self.bits).next_multiple_of(8);
        let aligned = u32::from(self.block_align) * 8 / u32::from(self.channels);
        match rounded {
            24 if aligned == 32 => aligned,
            0 => aligned,
            _ => rounded,
        }
    }

    fn codec(&self) -> AudioCodecId {
        match (self.tag, self.stored_bits()) {
            (1, 8) => CODEC_ID_PCM_U8,
            (1, 16) => CODEC_ID_PCM_S16LE,
            (1, 24) => CODEC_ID_PCM_S24LE,
            (1, 32) => CODEC_ID_PCM_S32LE,
            (3, 32) => CODEC_ID_PCM_F32LE,
            (3, 64) => CODEC_ID_PCM_F64LE,
            (6, _) => CODEC_ID_PCM_ALAW,
            (7, _) => CODEC_ID_PCM_MULAW,
            (2, _) => CODEC_ID_ADPCM_MS,
            (0x11, _) => CODEC_ID_ADPCM_IMA_WAV,
            _ => unknown_codec(self.tag),
        }
    }

    fn blocks(&self) -> Result<Blocks> {
        let (channels, align) = (u64::from(self.channels), u64::from(self.block_align));
        let header = match self.codec() {
            CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => {
                return Ok(Blocks { bytes: channels, frames: 1 });
            }
            CODEC_ID_ADPCM_MS => 7 * channels,
            CODEC_ID_ADPCM_IMA_WAV => 4 * channels,
            _ => {
                let bytes = (channels * u64::from(self.stored_bits() / 8)).max(1);
                return Ok(Blocks { bytes, frames: 1 });
            }
        };
        if align <= header {
            return decode_error("the block length in the header is too small for ADPCM");
        }
        // Each sample takes four bits; the first ones are in the block's header.
        let in_header = if self.codec() == CODEC_ID_ADPCM_MS { 2 } else { 1 };
        Ok(Blocks { bytes: align, frames: (align - header) * 2 / channels + in_header })
    }
}

/// Returns the demuxer of data that are a stream with headers of its own: MPEG layers II and III, and
/// AAC in ADTS. Chunks after the data are skipped as damage between frames is.
fn nested<'s>(
    reader: MediaSourceStream<'s>,
    format: &Format,
) -> Result<Box<dyn FormatReader + 's>> {
    match format.tag {
        ADTS => Ok(Box::new(AdtsReader::try_new(reader, FormatOptions::default())?)),
        _ => Ok(Box::new(MpaReader::try_new(reader, FormatOptions::default())?)),
    }
}

const LAYER_2: u16 = 0x50;
const LAYER_3: u16 = 0x55;
const ADTS: u16 = 0x1600;

/// Returns a codec id that no decoder supports. [`unknown_codec_name`] recovers the tag from it.
fn unknown_codec(tag: u16) -> AudioCodecId {
    let mut digits = [b'0'; 4];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[usize::from(tag >> (12 - 4 * i) & 15)];
    }
    AudioCodecId::new(FourCc::new(digits))
}

/// Returns the name of an unsupported WAV codec if `codec` comes from [`unknown_codec`].
pub(crate) fn unknown_codec_name(codec: AudioCodecId) -> Option<String> {
    let tag = (0..=u16::MAX).find(|&tag| unknown_codec(tag) == codec)?;
    Some(codec_names::wav(tag))
}

impl<'s> WavReader<'s> {
    fn open(mut reader: MediaSourceStream<'s>) -> Result<Box<dyn FormatReader + 's>> {
        let start = reader.pos();
        let form = reader.read_quad_bytes()?;
        let mut data = DataChunks::new(form, start, reader.read_u32()?);
        if reader.read_quad_bytes()? != *b"WAVE" {
            return unsupported_error("riff: not a WAVE form");
        }
        let (mut format, mut long_data): (Option<Format>, _) = (None, None);
        loop {
            let id = match reader.read_quad_bytes() {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return decode_error("the file ends before its data chunk");
                }
                other => other?,
            };
            let len = u64::from(reader.read_u32()?);
            match &id {
                b"data" => {
                    let Some(format) = format else {
                        return decode_error("the data chunk comes before the fmt chunk");
                    };
                    if format.is_nested() {
                        return nested(reader, &format);
                    }
                    let declared = data_len(&form, len, long_data);
                    let len = declared.map(|len| data.beyond_4_gib(len, &reader));
                    data.begin(len);
                    return Ok(Box::new(Self::with_format(reader, format, len, data)?));
                }
                b"fmt " => {
                    const MAX_FMT: u64 = 64 * 1024;
                    if !(14..=MAX_FMT).contains(&len) {
                        return decode_error("the fmt chunk has an impossible length");
                    }
                    let chunk = reader.read_boxed_slice_exact(len as usize)?;
                    format = Some(Format::parse(&chunk)?);
                    reader.ignore_bytes(len & 1)?;
                }
                b"ds64" if len >= 16 => {
                    reader.read_u64()?; // The length of the file.
                    long_data = Some(reader.read_u64()?);
                    reader.ignore_bytes(len - 16 + (len & 1))?;
                }
                _ => reader.ignore_bytes(len + (len & 1))?,
            }
        }
    }

    fn with_format(
        reader: MediaSourceStream<'s>,
        format: Format,
        data_len: Option<u64>,
        data: DataChunks,
    ) -> Result<Self> {
        let blocks = format.blocks()?;
        let track = blocks.track(format.codec(), format.sample_rate, format.channels, data_len);
        Ok(WavReader {
            reader,
            info: MediaInfo::from_track(&track),
            tracks: vec![track],
            metadata: MetadataLog::default(),
            format,
            blocks,
            audio: BlockReader::new(blocks, data_len),
            data,
        })
    }

    /// Looks for audio behind the `data` chunk. Returns whether there is some.
    fn find_more(&mut self) -> Result<bool> {
        let same = |chunk: &[u8]| Format::parse(chunk).is_ok_and(|format| format == self.format);
        match self.data.find_more(&mut self.reader, same)? {
            More::Chunk(len) => {
                let len = data_len(b"RIFF", len, None);
                self.data.begin(len);
                self.audio.begin_chunk(len);
                Ok(true)
            }
            More::Undeclared(len) => {
                self.data.begin(Some(len));
                self.audio.begin_chunk(Some(len));
                let seconds = self.seconds(len);
                let warning = format!(
                    "the header declares too short a length: {len} bytes of audio behind it, \
                     {seconds:.1} s, were decoded, too"
                );
                notes::add(&mut self.metadata, warning);
                Ok(true)
            }
            More::Other(len) => {
                let seconds = self.seconds(len);
                if seconds >= 1.0 {
                    let warning = format!(
                        "{len} bytes behind the end that the header declares were not decoded; if \
                         they are audio, {seconds:.1} s"
                    );
                    notes::add(&mut self.metadata, warning);
                }
                Ok(false)
            }
            More::Nothing => Ok(false),
        }
    }

    /// Returns the seconds of audio in `len` bytes.
    fn seconds(&self, len: u64) -> f64 {
        self.blocks.frames_in(len) as f64 / f64::from(self.format.sample_rate)
    }
}

/// Returns the length of the audio, or `None` if the writer did not know it and could not seek back
/// to fill it in. Such writers leave 0 or the largest number (ffmpeg, GStreamer), or about 2^31
/// (sox, arecord into a pipe).
fn data_len(form: &[u8; 4], len: u64, long_data: Option<u64>) -> Option<u64> {
    match len {
        0xffff_ffff if form != b"RIFF" => long_data.filter(|&len| len != 0 && len != u64::MAX),
        0 | 0x7fff_f000..=0x8000_0000 | 0xffff_0000.. => None,
        _ => Some(len),
    }
}

impl FormatReader for WavReader<'_> {
    forward_only!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        if self.audio.is_at_end() && !self.find_more()? {
            return Ok(None);
        }
        self.audio.next_packet(&mut self.reader)
    }

    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        self.reader
    }
}

impl Scoreable for WavReader<'_> {
    fn score(mut source: ScopedStream<&mut MediaSourceStream<'_>>) -> Result<Score> {
        source.ignore_bytes(8)?;
        let is_wave = source.read_quad_bytes()? == *b"WAVE";
        Ok(if is_wave { Score::Supported(255) } else { Score::Unsupported })
    }
}

impl ProbeableFormat<'_> for WavReader<'_> {
    fn try_probe_new(
        reader: MediaSourceStream<'_>,
        _: FormatOptions,
    ) -> Result<Box<dyn FormatReader + '_>> {
        WavReader::open(reader)
    }

    fn probe_data() -> &'static [ProbeFormatData] {
        &[ProbeFormatData {
            spec: ProbeDataMatchSpec {
                extensions: &["wav"],
                mime_types: &["audio/wav"],
                markers: &[b"RIFF", b"RF64", b"BW64"],
            },
            info: INFO,
        }]
    }
}
