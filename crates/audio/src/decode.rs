//! Decodes the packets of a track to PCM, and removes from it what is not part of the recording.

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::Error;
use crate::clock;
use crate::codec::{Codec, check_channels, check_sample_rate};
use crate::panics::{PANICKED, catch_panic};
use crate::pcm::Pcm;

/// What decoding a packet gave.
pub(crate) enum Decoded {
    Audio(Pcm),
    Damaged,
    /// The packet has another number of channels or sample rate than the decoder was opened for.
    Changed,
}

/// The frames of a packet's audio that are part of the recording: the first, and the one behind the
/// last.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    start: u64,
    end: u64,
}

/// Who says what to remove from the audio of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trims {
    /// The decoder knows.
    ByDecoder,
    /// The packets state it.
    Stated,
    /// Audio before time zero is not part of the recording (Matroska's `CodecDelay`), unless the codec
    /// itself says how much its encoder added.
    BeforeZero,
}

/// A decoder with what is known about its track.
pub(crate) struct TrackDecoder {
    pub(crate) codec: Codec,
    time_base: Option<TimeBase>,
    trims: Trims,
    max_channels: usize,
}

impl TrackDecoder {
    pub(crate) fn open(track: &Track, trims: Trims, max_channels: usize) -> Result<Self, Error> {
        let codec = Codec::open(track, max_channels)?;
        let knows_delay = codec.encoder_delay > 0;
        let trims = match trims {
            Trims::BeforeZero if knows_delay => Trims::ByDecoder,
            trims => trims,
        };
        Ok(TrackDecoder { codec, time_base: track.time_base, trims, max_channels })
    }

    /// Opens the decoder again.
    pub(crate) fn renew(&mut self, track: &Track) -> Result<(), Error> {
        self.codec.decoder = Codec::open(track, self.max_channels)?.decoder;
        Ok(())
    }

    /// Decodes `packet` of `track`.
    pub(crate) fn decode(&mut self, packet: &Packet, track: &Track) -> Result<Decoded, Error> {
        let decoder = &mut self.codec.decoder;
        let mut pcm = Pcm::default();
        let decoded = catch_panic(|| {
            let buffer = decoder.decode(packet)?;
            buffer.copy_to_vecs_planar(&mut pcm.planes);
            Ok((buffer.spec().rate(), buffer.spec().channels().count()))
        });
        match decoded {
            Ok((sample_rate, channels)) => {
                if pcm.frames() > 0 {
                    check_channels(channels, self.max_channels)?;
                    check_sample_rate(sample_rate)?;
                    (self.codec.sample_rate, self.codec.channels) = (sample_rate, channels);
                }
                pcm.sample_rate = self.codec.sample_rate;
                Ok(Decoded::Audio(pcm))
            }
            // Only the message tells that the decoder of MPEG audio has to be opened again.
            Err(SymphoniaError::DecodeError(why)) if why.contains("signal spec") => {
                Ok(Decoded::Changed)
            }
            Err(e) => {
                tracing::debug!(error = %e, "damaged packet");
                if matches!(
                    e,
                    SymphoniaError::ResetRequired | SymphoniaError::DecodeError(PANICKED)
                ) {
                    self.renew(track)?;
                }
                Ok(Decoded::Damaged)
            }
        }
    }

    /// Returns the silence that stands for a packet that cannot be decoded, so that the times of the
    /// audio after it stay right.
    pub(crate) fn silence(&self, packet: &Packet) -> Pcm {
        /// No codec has packets this long, so a longer duration is part of the damage.
        const MAX_SECONDS: f64 = 1.0;
        let rate = self.codec.sample_rate;
        let seconds = self.time_base.and_then(|base| base.calc_duration(packet.dur));
        let seconds = seconds.map_or(0.0, |time| time.as_secs_f64()).clamp(0.0, MAX_SECONDS);
        let mut pcm = Pcm { sample_rate: rate, ..Pcm::default() };
        pcm.silence(self.codec.channels, (seconds * f64::from(rate)).round() as usize);
        pcm
    }

    /// Takes from a packet what it states about its audio, so that no decoder trims it a second time.
    pub(crate) fn take_trims(&self, packet: &mut Packet) -> Kept {
        if self.trims != Trims::Stated {
            return Kept { start: 0, end: u64::MAX };
        }
        let whole = packet.block_dur();
        let start = std::mem::replace(&mut packet.trim_start, Duration::ZERO);
        let end = std::mem::replace(&mut packet.trim_end, Duration::ZERO);
        packet.dur = whole;
        let frames = |ticks: Duration| match self.time_base {
            Some(base) => {
                let ticks = i64::try_from(ticks.get()).unwrap_or(i64::MAX);
                clock::frames(ticks, base, self.codec.sample_rate).max(0).unsigned_abs()
            }
            None => ticks.get(),
        };
        let until = if end.is_zero() { u64::MAX } else { frames(whole.saturating_sub(end)) };
        Kept { start: frames(start), end: until }
    }

    /// Removes from `pcm` what is not part of the recording. Returns the time of the first frame left.
    pub(crate) fn crop(&mut self, packet: &Packet, pcm: &mut Pcm, kept: Kept) -> Option<i64> {
        let frames = pcm.frames() as u64;
        let delay = self.codec.encoder_delay.min(frames);
        self.codec.encoder_delay -= delay;
        let rate = self.codec.sample_rate;
        let begins = clock::time(packet.pts, self.time_base, rate);
        let early = match begins {
            // An encoder adds less than a second.
            Some(time) if self.trims == Trims::BeforeZero && time > -i64::from(rate) => {
                time.min(0).unsigned_abs()
            }
            _ => 0,
        };
        let start = kept.start.max(delay).max(early).min(frames);
        pcm.crop(start as usize, usize::try_from(kept.end).unwrap_or(usize::MAX));
        begins.map(|time| time.saturating_add_unsigned(start))
    }
}
