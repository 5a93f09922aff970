//! From what a container says of its audio track to a decoder that works.

use std::sync::LazyLock;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO,
};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::Track;
use symphonia_adapter_libopus::OpusDecoder;

use crate::Error;
use crate::guard::guarded;
use crate::wav;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

pub(crate) struct Codec {
    pub(crate) decoder: Box<dyn AudioDecoder>,
    /// Short lower-case name.
    pub(crate) name: &'static str,
    pub(crate) sample_rate: u32,
    /// 0 if only the first packet tells.
    pub(crate) channels: usize,
    /// Frames at the beginning that the encoder put in and the decoder leaves in.
    pub(crate) skip: u64,
}

impl Codec {
    pub(crate) fn open(track: &Track, max_channels: usize) -> Result<Self, Error> {
        let Some(CodecParameters::Audio(params)) = &track.codec_params else {
            return Err(Error::UnsupportedCodec { codec: "an unknown codec".into() });
        };
        let unsupported = || Error::UnsupportedCodec { codec: describe(params) };
        let name = CODECS.get_audio_decoder(params.codec).ok_or_else(unsupported)?;
        let name = name.codec.info.short_name;
        // Before the decoder: its buffers grow with the number of channels.
        check_channels(params.channels.as_ref().map_or(1, |c| c.count()), max_channels)?;

        let (params, skip) = amend(params);
        // Guarded too: Vorbis and others parse their codebooks here.
        let decoder =
            guarded(|| CODECS.make_audio_decoder(&params, &AudioDecoderOptions::default()))
                .map_err(|e| match e {
                    SymphoniaError::Unsupported(_) => unsupported(),
                    other => Error::Corrupt(other.to_string()),
                })?;
        let known = decoder.codec_params();
        let sample_rate = known.sample_rate.or(params.sample_rate).unwrap_or(0);
        let channels = known.channels.as_ref().or(params.channels.as_ref());
        if let Some(channels) = channels {
            check_channels(channels.count(), max_channels)?;
        }
        let channels = channels.map_or(0, |c| c.count());
        check_sample_rate(sample_rate)?;
        Ok(Codec { decoder, name, sample_rate, channels, skip })
    }
}

pub(crate) fn check_channels(channels: usize, max: usize) -> Result<(), Error> {
    if channels == 0 {
        return Err(Error::Corrupt("the header says that there are zero channels".into()));
    }
    if channels > max {
        let (actual, limit) = (channels.to_string(), max.to_string());
        return Err(Error::LimitExceeded { what: "the number of channels", actual, limit });
    }
    Ok(())
}

pub(crate) fn check_sample_rate(rate: u32) -> Result<(), Error> {
    /// The highest rate at which sound is sold (DXD at 768 kHz); more is a broken header.
    const MAX: u32 = 768_000;
    if rate == 0 || rate > MAX {
        return Err(Error::Corrupt(format!("the header gives a sample rate of {rate} Hz")));
    }
    Ok(())
}

/// The parameters that the decoder needs, where they are not those that the container gives; and
/// the frames to skip.
fn amend(params: &AudioCodecParameters) -> (AudioCodecParameters, u64) {
    let mut amended = params.clone();
    let mut skip = 0;
    match params.codec {
        CODEC_ID_OPUS => {
            // The container may give the rate of what was encoded; Opus always decodes to 48 kHz
            // (RFC 7845, 5.1).
            amended.with_sample_rate(48_000);
            skip = amended.extra_data.as_deref_mut().map_or(0, take_pre_skip);
        }
        CODEC_ID_AAC => {
            if let Some(config) = params.extra_data.as_deref().and_then(aac_core_config) {
                amended.with_extra_data(Box::new(config));
            }
        }
        // CAF gives the eight bits of the code; the decoder wants those of what it stands for.
        CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => {
            (amended.bits_per_sample, amended.bits_per_coded_sample) = (None, None);
        }
        _ => {}
    }
    (amended, skip)
}

/// Takes the pre-skip out of an `OpusHead` (RFC 7845, 5.1), in frames: the adapter applies it to
/// the first packet only, of which it may be longer, and mistakes the big-endian number that MP4
/// has there (`dOps`, version 0 instead of 1) for a little-endian one.
fn take_pre_skip(head: &mut [u8]) -> u64 {
    match head {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', version, _, a, b, ..] => {
            let bytes = [std::mem::take(a), std::mem::take(b)];
            let is_mp4 = *version == 0;
            let skip = if is_mp4 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
            u64::from(skip)
        }
        _ => 0,
    }
}

/// For HE-AAC, the AudioSpecificConfig (ISO 14496-3, 1.6.2.1) of its AAC-LC core.
///
/// The core is ordinary AAC-LC at half the rate; spectral band replication only adds what lies
/// above half the core's rate: above 8 kHz for recordings of 32 kHz or more, which is above what is
/// kept at 16 kHz. Parametric stereo makes two channels of the core's one.
fn aac_core_config(config: &[u8]) -> Option<[u8; 2]> {
    const LC: u64 = 2;
    const SBR: u64 = 5;
    const PS: u64 = 29;
    const EXPLICIT_RATE: u64 = 15;
    let mut bits = [0; 8];
    let len = config.len().min(8);
    bits[..len].copy_from_slice(&config[..len]);
    let mut bits = u64::from_be_bytes(bits);
    let mut take = |n: u32| {
        let value = bits >> (64 - n);
        bits <<= n;
        value
    };
    if !matches!(take(5), SBR | PS) {
        return None;
    }
    let (rate, channels) = (take(4), take(4));
    if rate == EXPLICIT_RATE {
        return None;
    }
    if take(4) == EXPLICIT_RATE {
        take(24);
    }
    let (core, ga_specific) = (take(5), take(3));
    if core != LC {
        return None;
    }
    Some(((core << 11 | rate << 7 | channels << 3 | ga_specific) as u16).to_be_bytes())
}

/// A name for a codec that cannot be decoded.
fn describe(params: &AudioCodecParameters) -> String {
    const NAMES: &[(AudioCodecId, &str)] = &[
        (CODEC_ID_NULL_AUDIO, "an unknown codec"),
        (CODEC_ID_AC3, "AC-3 (Dolby Digital)"),
        (CODEC_ID_EAC3, "E-AC-3 (Dolby Digital Plus)"),
        (CODEC_ID_AC4, "AC-4"),
        (CODEC_ID_DCA, "DTS"),
        (CODEC_ID_TRUEHD, "TrueHD"),
        (CODEC_ID_MP1, "MPEG layer 1"),
        (CODEC_ID_MP2, "MPEG layer 2"),
        (CODEC_ID_SPEEX, "Speex"),
        (CODEC_ID_WMA, "Windows Media Audio"),
        (CODEC_ID_WAVPACK, "WavPack"),
        (CODEC_ID_TTA, "True Audio"),
        (CODEC_ID_SBC, "SBC"),
    ];
    let channels = params.channels.as_ref().map_or(0, |c| c.count());
    if let Some(codec) = CODECS.get_audio_decoder(params.codec) {
        let name = codec.codec.info.long_name;
        return match params.codec {
            CODEC_ID_AAC if channels <= 2 => format!("{name} in a profile other than LC and HE"),
            _ => format!("{name} with {channels} channels"),
        };
    }
    let known = NAMES.iter().find(|(id, _)| *id == params.codec).map(|(_, name)| name.to_string());
    known
        .or_else(|| wav::unknown_codec_name(params.codec))
        .unwrap_or_else(|| format!("the codec with the id {}", params.codec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_skip_in_both_byte_orders() {
        let mut ogg = *b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0";
        let mut mp4 = *b"OpusHead\x00\x02\x01\x38\0\0\xbb\x80";
        assert_eq!(take_pre_skip(&mut ogg), 312);
        assert_eq!(take_pre_skip(&mut mp4), 312);
        assert_eq!(take_pre_skip(&mut ogg), 0, "taken");
        assert_eq!(take_pre_skip(&mut []), 0);
    }

    /// Values with their widths in bits, from the highest bit on.
    fn bits(fields: &[(u32, u32)]) -> [u8; 4] {
        let mut free = 32;
        let packed = fields.iter().fold(0, |packed, &(value, width)| {
            free -= width;
            packed | value << free
        });
        packed.to_be_bytes()
    }

    #[test]
    fn the_core_of_he_aac() {
        // SBR, 24 kHz (6), stereo; extension 48 kHz (3), LC, GASpecificConfig 000.
        let he = bits(&[(5, 5), (6, 4), (2, 4), (3, 4), (2, 5), (0, 3)]);
        assert_eq!(aac_core_config(&he), Some([0x13, 0x10]));
        // PS, mono core.
        let he_v2 = bits(&[(29, 5), (6, 4), (1, 4), (3, 4), (2, 5), (0, 3)]);
        assert_eq!(aac_core_config(&he_v2), Some([0x13, 0x08]));
        assert_eq!(aac_core_config(&[0x14, 0x08, 0x56, 0xe5, 0]), None, "LC stays");
        assert_eq!(aac_core_config(&[]), None);
    }
}
