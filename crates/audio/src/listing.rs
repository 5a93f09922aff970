//! Lists the audio tracks of a container, from its demuxer and from what this crate reads itself.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::formats::{FormatReader, Track, TrackFlags};

use crate::codec::{self, Codec};
use crate::mkv::{Encoding, MkvTrack};
use crate::mp4::Mp4Track;
use crate::tracks::AudioTrack;
use crate::{Error, codec_names};

/// The audio tracks as the container itself describes them. Empty for containers that this crate
/// leaves to symphonia.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) mp4: Vec<Mp4Track>,
    pub(crate) mkv: Vec<MkvTrack>,
}

impl Listing {
    /// Returns the audio tracks of the container.
    pub(crate) fn tracks(&self, reader: &dyn FormatReader) -> Vec<AudioTrack> {
        let known = |id: u32| {
            let track = reader.tracks().iter().find(|track| track.id == id)?;
            codec::short_name(track).map(str::to_owned)
        };
        let of_mp4 = self.mp4.iter().map(|track| AudioTrack {
            id: track.id,
            number: 0,
            language: track.language.clone(),
            codec: known(track.id).unwrap_or_else(|| codec_names::fourcc(&track.codec)),
            is_default: track.is_enabled,
        });
        let of_mkv = self.mkv.iter().map(|track| AudioTrack {
            id: track.number,
            number: 0,
            language: track.language.clone(),
            codec: known(track.number).unwrap_or_else(|| codec_names::matroska(&track.codec)),
            is_default: track.is_default,
        });
        let mut tracks: Vec<AudioTrack> = of_mp4.chain(of_mkv).collect();
        if tracks.is_empty() {
            tracks = reader.tracks().iter().filter(|track| is_audio(track)).map(describe).collect();
        }
        for (index, track) in tracks.iter_mut().enumerate() {
            track.number = index + 1;
        }
        tracks
    }

    /// Checks that an audio track can be decoded.
    pub(crate) fn check(
        &self,
        reader: &dyn FormatReader,
        track: &AudioTrack,
        max_channels: usize,
    ) -> Result<(), Error> {
        let encrypted = |scheme: String| Err(Error::Encrypted { scheme });
        if let Some(mp4) = self.mp4.iter().find(|mp4| mp4.id == track.id)
            && let Some(scheme) = mp4.encryption
        {
            return encrypted(format!(
                "{} inside `{}`",
                codec_names::fourcc(&mp4.codec),
                scheme.escape_ascii()
            ));
        }
        match self.mkv.iter().find(|mkv| mkv.number == track.id).map(|mkv| &mkv.encoding) {
            Some(Encoding::Encrypted) => return encrypted("ContentEncryption".to_owned()),
            Some(Encoding::Compressed) => {
                let codec = format!("{} in compressed frames", track.codec);
                return Err(Error::unsupported(codec));
            }
            _ => {}
        }
        match reader.tracks().iter().find(|other| other.id == track.id) {
            Some(known) if is_audio(known) => Codec::open(known, max_channels).map(drop),
            _ => Err(unknown(track)),
        }
    }

    /// Returns the ids of tracks with the bytes that their packets lack.
    pub(crate) fn prefixes(&self) -> Vec<(u32, Vec<u8>)> {
        let prefix = |track: &MkvTrack| match &track.encoding {
            Encoding::Stripped(prefix) => Some((track.number, prefix.clone())),
            _ => None,
        };
        self.mkv.iter().filter_map(prefix).collect()
    }
}

fn unknown(track: &AudioTrack) -> Error {
    Error::unsupported(track.codec.clone())
}

fn is_audio(track: &Track) -> bool {
    matches!(track.codec_params, Some(CodecParameters::Audio(_)))
}

fn describe(track: &Track) -> AudioTrack {
    AudioTrack {
        id: track.id,
        number: 0,
        language: track.language.clone().filter(|code| code != "und"),
        codec: codec::short_name(track).unwrap_or("an unknown codec").to_owned(),
        is_default: track.flags.contains(TrackFlags::DEFAULT),
    }
}
