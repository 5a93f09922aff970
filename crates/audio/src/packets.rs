//! From a container's packets to PCM at the recording's own rate, past what is damaged.

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::Error;
use crate::codec::{Codec, check_channels, check_sample_rate};
use crate::guard::{PANICKED, guarded};
use crate::source::Witness;

/// PCM as decoded: one plane per channel, all of the same length.
#[derive(Default)]
pub(crate) struct Pcm {
    pub(crate) planes: Vec<Vec<f32>>,
    pub(crate) sample_rate: u32,
}

impl Pcm {
    pub(crate) fn frames(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    fn silence(&mut self, channels: usize, frames: usize) {
        self.planes.resize_with(channels, Vec::new);
        for plane in &mut self.planes {
            plane.clear();
            plane.resize(frames, 0.0);
        }
    }

    fn skip(&mut self, frames: usize) {
        for plane in &mut self.planes {
            plane.drain(..frames);
        }
    }
}

/// How the packets ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// Where the container says.
    Whole,
    /// In the middle of something.
    CutOff,
    /// At something that the demuxer could not get past.
    Broken(String),
}

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) packets: u64,
    pub(crate) damaged: u64,
    /// Another recording follows the first in the same file.
    pub(crate) chained: bool,
    /// Packets after the end that the header gives.
    surplus: u64,
}

impl Damage {
    /// Beyond the two packets that an encoder may fill with padding alone.
    pub(crate) fn has_surplus(&self) -> bool {
        self.surplus > 2
    }

    /// The beginning of a file that was cut out of a longer one never decodes whole.
    const ALWAYS_FORGIVEN: u64 = 2;

    pub(crate) fn is_corrupt(&self) -> bool {
        self.damaged > Self::ALWAYS_FORGIVEN && self.damaged * 10 > self.packets
            || self.packets > 0 && self.damaged == self.packets
    }

    /// Whether going on is pointless, long before the end.
    fn is_hopeless(&self) -> bool {
        self.damaged > 500 && self.damaged * 2 > self.packets
    }
}

pub(crate) struct Packets {
    reader: Box<dyn FormatReader>,
    witness: Witness,
    max_channels: usize,
    track: u32,
    time_base: Option<TimeBase>,
    codec: Codec,
    damage: Damage,
    /// Packets in a row that held no audio.
    barren: u32,
    /// What was decoded to learn the number of channels.
    ahead: Option<Pcm>,
    end: Option<End>,
}

impl Packets {
    /// Takes the default audio track of `reader`; `container` is for the error without one.
    pub(crate) fn open(
        reader: Box<dyn FormatReader>,
        witness: Witness,
        max_channels: usize,
        container: &str,
    ) -> Result<Self, Error> {
        let track = audio_track(&*reader)
            .ok_or_else(|| Error::NoAudioTrack { container: container.into() })?;
        let (id, time_base) = (track.id, track.time_base);
        let codec = Codec::open(track, max_channels)?;
        let mut packets = Packets {
            reader,
            witness,
            max_channels,
            track: id,
            time_base,
            codec,
            damage: Damage::default(),
            barren: 0,
            ahead: None,
            end: None,
        };
        if packets.codec.channels == 0 {
            // MP3 in MP4.
            let mut first = Pcm::default();
            if !packets.next(&mut first)? {
                return Err(Error::Corrupt("no packet can be decoded".into()));
            }
            packets.ahead = Some(first);
        }
        Ok(packets)
    }

    /// Skips the encoder's delay: what comes before the place, in units of the track, that `start`
    /// gives for its id. A longer stretch is no delay, but was cut away by hand: it is kept.
    pub(crate) fn begin_at(&mut self, start: impl Fn(u32) -> Option<u64>) {
        const MAX_SECONDS: f64 = 0.5;
        let start = start(self.track).map(Duration::new);
        let time = start.and_then(|start| self.time_base?.calc_duration(start));
        let seconds = time.map_or(0.0, |time| time.as_secs_f64());
        if seconds <= MAX_SECONDS {
            let frames = (seconds * f64::from(self.codec.sample_rate)).round() as u64;
            self.codec.skip = self.codec.skip.max(frames);
        }
    }

    pub(crate) fn reader(&self) -> &dyn FormatReader {
        &*self.reader
    }

    pub(crate) fn track(&self) -> Option<&Track> {
        self.reader.tracks().iter().find(|track| track.id == self.track)
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    pub(crate) fn damage(&self) -> &Damage {
        &self.damage
    }

    /// How the packets ended, once [`Packets::next`] has returned `false`.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Fills `pcm` with the next audio. `false` at the end, for whatever reason: see
    /// [`Packets::end`].
    pub(crate) fn next(&mut self, pcm: &mut Pcm) -> Result<bool, Error> {
        /// More than any codec or muxer puts before the first sound.
        const MAX_BARREN: u32 = 10_000;
        while self.end.is_none() {
            if let Some(ahead) = self.ahead.take() {
                *pcm = ahead;
            } else {
                let Some(mut packet) = self.next_packet()? else { break };
                self.keep_surplus(&mut packet);
                self.decode(&packet, pcm)?;
            }
            let skip = self.codec.skip.min(pcm.frames() as u64);
            pcm.skip(skip as usize);
            self.codec.skip -= skip;
            self.barren = if pcm.frames() > 0 { 0 } else { self.barren + 1 };
            if self.damage.is_hopeless() || self.barren > MAX_BARREN {
                return Err(Error::Corrupt(format!(
                    "{} of the first {} packets cannot be decoded",
                    self.damage.damaged, self.damage.packets
                )));
            }
            if pcm.frames() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next packet of the track, or `None` with `self.end` set.
    fn next_packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            let end = match guarded(|| self.reader.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) => continue,
                Ok(None) => End::Whole,
                Err(SymphoniaError::ResetRequired) => {
                    self.follow_chain()?;
                    continue;
                }
                Err(SymphoniaError::IoError(e))
                    if e.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    End::CutOff
                }
                Err(e) => End::Broken(e.to_string()),
            };
            if let Some(failure) = self.witness.take_failure() {
                return Err(failure.into());
            }
            self.end = Some(end);
            return Ok(None);
        }
    }

    /// Another logical stream begins (chained Ogg): a new decoder for it.
    fn follow_chain(&mut self) -> Result<(), Error> {
        let track = audio_track(&*self.reader)
            .ok_or_else(|| Error::Corrupt("a chained stream has no audio".into()))?;
        self.codec = Codec::open(track, self.max_channels)?;
        (self.track, self.time_base) = (track.id, track.time_base);
        self.damage.chained = true;
        Ok(())
    }

    /// Packets after the end that the header gives are trimmed to nothing by the demuxer, and
    /// rightly so if they hold an encoder's padding; but if many follow, then the header is wrong
    /// (MP3 files put one after the other), and what follows is part of the recording.
    fn keep_surplus(&mut self, packet: &mut Packet) {
        // MP3's demuxer leaves the trimmed frames in the duration; the others take them out.
        if !packet.trim_end.is_zero() && packet.trim_end >= packet.dur {
            self.damage.surplus += 1;
            if self.damage.has_surplus() {
                packet.dur = if packet.dur.is_zero() { packet.trim_end } else { packet.dur };
                packet.trim_end = Duration::ZERO;
            }
        }
    }

    fn decode(&mut self, packet: &Packet, pcm: &mut Pcm) -> Result<(), Error> {
        self.damage.packets += 1;
        let decoder = &mut self.codec.decoder;
        let decoded = guarded(|| {
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
            }
            Err(e) => {
                tracing::debug!(packet = self.damage.packets, error = %e, "damaged packet");
                self.damage.damaged += 1;
                if matches!(
                    e,
                    SymphoniaError::ResetRequired | SymphoniaError::DecodeError(PANICKED)
                ) {
                    self.renew_decoder()?;
                }
                pcm.silence(self.codec.channels, self.lost_frames(packet));
            }
        }
        pcm.sample_rate = self.codec.sample_rate;
        Ok(())
    }

    fn renew_decoder(&mut self) -> Result<(), Error> {
        if let Some(track) = self.reader.tracks().iter().find(|track| track.id == self.track) {
            let Codec { skip, channels, .. } = self.codec;
            self.codec = Codec { skip, channels, ..Codec::open(track, self.max_channels)? };
        }
        Ok(())
    }

    /// Frames that a damaged packet would have held, so that what follows keeps its place in time.
    fn lost_frames(&self, packet: &Packet) -> usize {
        /// No codec has packets of a second: more is part of the damage.
        const MAX_SECONDS: f64 = 1.0;
        let seconds = self.time_base.and_then(|base| base.calc_duration(packet.dur));
        let seconds = seconds.map_or(0.0, |time| time.as_secs_f64());
        (seconds.clamp(0.0, MAX_SECONDS) * f64::from(self.codec.sample_rate)).round() as usize
    }
}

fn audio_track(reader: &dyn FormatReader) -> Option<&Track> {
    reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio))
}
