//! Opens a decoder for the codec parameters of a container's audio track.

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
use crate::panics::catch_panic;
use crate::wav;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

/// A decoder and the properties of its stream.
pub(crate) struct Codec {
    pub(crate) decoder: Box<dyn AudioDecoder>,
    /// Short lower-case name of the codec.
    pub(crate) name: &'static str,
    pub(crate) sample_rate: u32,
    /// Number of channels; 0 if it is known only after the first packet.
    pub(crate) channels: usize,
    /// Frames that the encoder added at the beginning and that are still to be skipped, because the
    /// decoder does not remove them.
    pub(crate) encoder_delay: u64,
}

impl Codec {
    /// Opens the decoder of `track`.
    ///
    /// # Errors
    ///
    /// Fails if the codec is unsupported, if its parameters are invalid, or if there are more than
    /// `max_channels` channels.
    pub(crate) fn open(track: &Track, max_channels: usize) -> Result<Self, Error> {
        let Some(CodecParameters::Audio(params)) = &track.codec_params else {
            return Err(Error::unsupported("an unknown codec"));
        };
        let unsupported = || Error::unsupported(unsupported_codec_name(params));
        let name = CODECS.get_audio_decoder(params.codec).ok_or_else(unsupported)?;
        let name = name.codec.info.short_name;
        // Checked before the decoder is created, whose buffers grow with the number of channels.
        check_channels(params.channels.as_ref().map_or(1, |c| c.count()), max_channels)?;

        let (params, encoder_delay) = decoder_params(params);
        // This may panic, too: Vorbis and others parse their codebooks here.
        let decoder =
            catch_panic(|| CODECS.make_audio_decoder(&params, &AudioDecoderOptions::default()))
                .map_err(|e| match e {
                    SymphoniaError::Unsupported(_) => unsupported(),
                    other => Error::corrupt_by("the decoder refuses the codec parameters", other),
                })?;
        let known = decoder.codec_params();
        let sample_rate = known.sample_rate.or(params.sample_rate).unwrap_or(0);
        let channels = known.channels.as_ref().or(params.channels.as_ref());
        if let Some(channels) = channels {
            check_channels(channels.count(), max_channels)?;
        }
        let channels = channels.map_or(0, |c| c.count());
        check_sample_rate(sample_rate)?;
        Ok(Codec { decoder, name, sample_rate, channels, encoder_delay })
    }
}

/// Returns the short name of the codec of an audio track, if there is a decoder for it.
pub(crate) fn short_name(track: &Track) -> Option<&'static str> {
    let Some(CodecParameters::Audio(params)) = &track.codec_params else { return None };
    CODECS.get_audio_decoder(params.codec).map(|decoder| decoder.codec.info.short_name)
}

pub(crate) fn check_channels(channels: usize, max: usize) -> Result<(), Error> {
    if channels == 0 {
        return Err(Error::corrupt("the header declares zero channels"));
    }
    if channels > max {
        let (actual, limit) = (channels.to_string(), max.to_string());
        return Err(Error::LimitExceeded { quantity: "the number of channels", actual, limit });
    }
    Ok(())
}

pub(crate) fn check_sample_rate(rate: u32) -> Result<(), Error> {
    /// The highest sample rate in use (DXD at 768 kHz). A higher one means that the header is broken.
    const MAX_RATE: u32 = 768_000;
    if rate == 0 || rate > MAX_RATE {
        return Err(Error::corrupt(format!("the header declares a sample rate of {rate} Hz")));
    }
    Ok(())
}

/// Returns the parameters for the decoder, which for some codecs differ from those of the container,
/// and the encoder delay in frames.
fn decoder_params(params: &AudioCodecParameters) -> (AudioCodecParameters, u64) {
    let mut amended = params.clone();
    let mut encoder_delay = 0;
    match params.codec {
        CODEC_ID_OPUS => {
            // The container may declare the rate of the encoder's input, but Opus always decodes to
            // 48 kHz (RFC 7845, 5.1).
            amended.with_sample_rate(48_000);
            encoder_delay = amended.extra_data.as_deref_mut().map_or(0, take_pre_skip);
        }
        CODEC_ID_AAC => {
            if let Some(config) = params.extra_data.as_deref().and_then(aac_core_config) {
                amended.with_extra_data(Box::new(config));
            }
        }
        // CAF declares the eight bits of the code; the decoder expects those of the decoded sample.
        CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => {
            (amended.bits_per_sample, amended.bits_per_coded_sample) = (None, None);
        }
        _ => {}
    }
    (amended, encoder_delay)
}

/// Removes the pre-skip from an `OpusHead` (RFC 7845, 5.1) and returns it, in frames.
///
/// The adapter would apply it to the first packet only, which may be shorter than the pre-skip, and
/// would read the big-endian number of MP4 (`dOps`, version 0 instead of 1) as little-endian.
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

/// Returns the AudioSpecificConfig (ISO 14496-3, 1.6.2.1) of the AAC-LC core of HE-AAC, or `None`
/// for other profiles.
///
/// The core is ordinary AAC-LC at half the rate. Spectral band replication only adds frequencies
/// above half the core's rate: above 8 kHz for recordings of 32 kHz or more, which resampling to
/// 16 kHz removes. Parametric stereo turns the core's one channel into two.
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

/// Returns a name for AAC that cannot be decoded, which says why, from its AudioSpecificConfig.
fn aac_name(config: Option<&[u8]>, channels: usize) -> String {
    let config = config.and_then(|config| config.first_chunk().copied());
    let bits = u16::from_be_bytes(config.unwrap_or_default());
    let (object, declared) = (bits >> 11, bits >> 3 & 15);
    let profile = match object {
        _ if config.is_none() && channels <= 2 => "AAC in a profile other than LC and HE",
        1 => "AAC Main",
        3 => "AAC SSR",
        4 => "AAC LTP",
        23 => "AAC LD",
        39 => "AAC ELD",
        42 => "xHE-AAC (USAC)",
        0 | 2 | 5 | 29 => match (declared, channels) {
            // The layout follows in the configuration or in the first packet.
            (0, 0..=2) if config.is_some() => return "AAC with a channel layout of its own".into(),
            (7, _) => return "AAC with 8 channels".into(),
            (3.., _) => return format!("AAC with {declared} channels"),
            (_, 3..) => return format!("AAC with {channels} channels"),
            _ => "AAC with frames of another length",
        },
        _ => return format!("AAC with the object type {object}"),
    };
    profile.into()
}

/// Returns a name for a codec that cannot be decoded.
fn unsupported_codec_name(params: &AudioCodecParameters) -> String {
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
    if let Some(codec) = CODECS.get_audio_decoder(params.codec) {
        let channels = params.channels.as_ref().map_or(0, |c| c.count());
        let name = codec.codec.info.long_name;
        return match (params.codec, channels) {
            (CODEC_ID_AAC, _) => aac_name(params.extra_data.as_deref(), channels),
            (_, 0..=2) => format!("{name} in this variant"),
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
    fn reads_the_pre_skip_in_both_byte_orders() {
        let mut ogg = *b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0";
        let mut mp4 = *b"OpusHead\x00\x02\x01\x38\0\0\xbb\x80";
        assert_eq!(take_pre_skip(&mut ogg), 312);
        assert_eq!(take_pre_skip(&mut mp4), 312);
        assert_eq!(take_pre_skip(&mut ogg), 0, "removed");
        assert_eq!(take_pre_skip(&mut []), 0);
    }

    /// Packs values of the given widths in bits, from the highest bit down.
    fn bits(fields: &[(u32, u32)]) -> [u8; 4] {
        let mut free = 32;
        let packed = fields.iter().fold(0, |packed, &(value, width)| {
            free -= width;
            packed | value << free
        });
        packed.to_be_bytes()
    }

    #[test]
    fn says_what_is_not_supported_in_aac() {
        // Object type, 48 kHz (3), channel configuration.
        let config = |object: u32, channels: u32| bits(&[(object, 5), (3, 4), (channels, 4)]);
        assert_eq!(aac_name(Some(&config(1, 2)), 2), "AAC Main");
        assert_eq!(aac_name(Some(&config(2, 0)), 0), "AAC with a channel layout of its own");
        assert_eq!(aac_name(Some(&config(2, 6)), 6), "AAC with 6 channels");
        assert_eq!(aac_name(Some(&config(2, 7)), 8), "AAC with 8 channels");
        assert_eq!(aac_name(None, 6), "AAC with 6 channels");
        assert_eq!(aac_name(None, 2), "AAC in a profile other than LC and HE");
    }

    #[test]
    fn finds_the_core_of_he_aac() {
        // SBR, 24 kHz (6), stereo; extension 48 kHz (3), LC, GASpecificConfig 000.
        let he = bits(&[(5, 5), (6, 4), (2, 4), (3, 4), (2, 5), (0, 3)]);
        assert_eq!(aac_core_config(&he), Some([0x13, 0x10]));
        // PS, mono core.
        let he_v2 = bits(&[(29, 5), (6, 4), (1, 4), (3, 4), (2, 5), (0, 3)]);
        assert_eq!(aac_core_config(&he_v2), Some([0x13, 0x08]));
        assert_eq!(aac_core_config(&[0x14, 0x08, 0x56, 0xe5, 0]), None, "already LC");
        assert_eq!(aac_core_config(&[]), None);
    }
}
