//! Decodes a container's packets to PCM at the recording's sample rate; damaged packets become
//! silence.

use std::sync::Arc;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::Error;
use crate::codec::{Codec, check_channels, check_sample_rate};
use crate::panics::{PANICKED, catch_panic};
use crate::source::ReadMonitor;

/// Decoded PCM: one plane per channel, all of the same length.
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

/// How the sequence of packets ended.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// At the end of the container.
    Complete,
    /// In the middle of an element.
    CutOff,
    /// At data that the demuxer could not read, with its error.
    Unreadable(Arc<SymphoniaError>),
}

/// Counts of packets and of problems with them.
#[derive(Debug, Default)]
pub(crate) struct PacketStats {
    /// Packets decoded, damaged ones included.
    pub(crate) packets: u64,
    /// Packets that could not be decoded.
    pub(crate) damaged: u64,
    /// Whether another recording follows the first in the same file.
    pub(crate) chained: bool,
    /// Packets after the end that the header declares.
    surplus: u64,
}

impl PacketStats {
    /// Returns whether audio follows the declared end. An encoder may fill two packets with padding
    /// alone, so those do not count.
    pub(crate) fn has_surplus(&self) -> bool {
        self.surplus > 2
    }

    /// Damaged packets that never make a recording corrupt: in a file that was cut out of a longer
    /// one, the first packets do not decode.
    const TOLERATED_DAMAGE: u64 = 2;

    /// Returns whether more than a tenth of the packets are damaged, or all.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.damaged > Self::TOLERATED_DAMAGE && self.damaged * 10 > self.packets
            || self.packets > 0 && self.damaged == self.packets
    }

    /// Returns whether so much is damaged that decoding stops before the end.
    fn is_mostly_damaged(&self) -> bool {
        self.damaged > 500 && self.damaged * 2 > self.packets
    }
}

/// Limits above which a packet is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketLimits {
    pub(crate) bytes: u64,
    pub(crate) channels: usize,
}

/// The packets of an audio track, decoded one by one.
pub(crate) struct Packets {
    reader: Box<dyn FormatReader>,
    monitor: ReadMonitor,
    limits: PacketLimits,
    track: u32,
    time_base: Option<TimeBase>,
    codec: Codec,
    stats: PacketStats,
    /// Consecutive packets without audio.
    packets_without_audio: u32,
    /// Audio decoded in advance to find out the number of channels.
    lookahead: Option<Pcm>,
    end: Option<StreamEnd>,
}

impl Packets {
    /// Opens the default audio track of `reader`. `container` names the container in the error if
    /// there is no audio track.
    pub(crate) fn open(
        reader: Box<dyn FormatReader>,
        monitor: ReadMonitor,
        limits: PacketLimits,
        container: &str,
    ) -> Result<Self, Error> {
        let track = audio_track(&*reader)
            .ok_or_else(|| Error::NoAudioTrack { container: container.into() })?;
        let (id, time_base) = (track.id, track.time_base);
        let codec = Codec::open(track, limits.channels)?;
        let mut packets = Packets {
            reader,
            monitor,
            limits,
            track: id,
            time_base,
            codec,
            stats: PacketStats::default(),
            packets_without_audio: 0,
            lookahead: None,
            end: None,
        };
        if packets.codec.channels == 0 {
            // MP3 in MP4 declares its channels only in the first packet.
            let mut first = Pcm::default();
            if !packets.next(&mut first)? {
                return Err(Error::corrupt("no packet can be decoded"));
            }
            packets.lookahead = Some(first);
        }
        Ok(packets)
    }

    /// Skips the audio before the time that `start` returns for the track id, in units of the track:
    /// it is the encoder's delay. If it is longer than half a second, an editor cut it away, and it
    /// is kept.
    pub(crate) fn skip_encoder_delay(&mut self, start: impl Fn(u32) -> Option<u64>) {
        const MAX_SECONDS: f64 = 0.5;
        let start = start(self.track).map(Duration::new);
        let time = start.and_then(|start| self.time_base?.calc_duration(start));
        let seconds = time.map_or(0.0, |time| time.as_secs_f64());
        if seconds <= MAX_SECONDS {
            let frames = (seconds * f64::from(self.codec.sample_rate)).round() as u64;
            self.codec.encoder_delay = self.codec.encoder_delay.max(frames);
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

    pub(crate) fn stats(&self) -> &PacketStats {
        &self.stats
    }

    /// Returns how the packets ended, once [`Packets::next`] has returned `false`.
    pub(crate) fn end(&self) -> Option<&StreamEnd> {
        self.end.as_ref()
    }

    /// Fills `pcm` with the next audio. Returns `false` at the end, whose cause [`Packets::end`]
    /// returns.
    pub(crate) fn next(&mut self, pcm: &mut Pcm) -> Result<bool, Error> {
        /// More than any codec or muxer puts before the first audio.
        const MAX_WITHOUT_AUDIO: u32 = 10_000;
        while self.end.is_none() {
            if let Some(lookahead) = self.lookahead.take() {
                *pcm = lookahead;
            } else {
                let Some(mut packet) = self.next_packet()? else { break };
                self.keep_surplus(&mut packet);
                self.decode(&packet, pcm)?;
            }
            let skip = self.codec.encoder_delay.min(pcm.frames() as u64);
            pcm.skip(skip as usize);
            self.codec.encoder_delay -= skip;
            self.packets_without_audio =
                if pcm.frames() > 0 { 0 } else { self.packets_without_audio + 1 };
            if self.stats.is_mostly_damaged() || self.packets_without_audio > MAX_WITHOUT_AUDIO {
                return Err(Error::corrupt(format!(
                    "{} of the first {} packets cannot be decoded",
                    self.stats.damaged, self.stats.packets
                )));
            }
            if pcm.frames() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the next packet of the track, or sets `self.end` and returns `None`.
    fn next_packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            self.monitor.limit_element(self.limits.bytes);
            let end = match catch_panic(|| self.reader.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) => continue,
                Ok(None) => StreamEnd::Complete,
                Err(SymphoniaError::ResetRequired) => {
                    self.open_chained_stream()?;
                    continue;
                }
                Err(SymphoniaError::IoError(e))
                    if e.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    StreamEnd::CutOff
                }
                Err(e) => StreamEnd::Unreadable(Arc::new(e)),
            };
            if let Some(failure) = self.monitor.take_failure() {
                return Err(failure.into());
            }
            self.end = Some(end);
            return Ok(None);
        }
    }

    /// Opens a decoder for another logical stream that begins here (chained Ogg).
    fn open_chained_stream(&mut self) -> Result<(), Error> {
        let track = audio_track(&*self.reader)
            .ok_or_else(|| Error::corrupt("a chained stream has no audio"))?;
        self.codec = Codec::open(track, self.limits.channels)?;
        (self.track, self.time_base) = (track.id, track.time_base);
        self.stats.chained = true;
        Ok(())
    }

    /// Keeps the audio of a packet after the declared end if several follow.
    ///
    /// The demuxer trims such packets to nothing, which is right for an encoder's padding. If more
    /// follow, the header is wrong (concatenated MP3 files) and they are part of the recording.
    fn keep_surplus(&mut self, packet: &mut Packet) {
        // MP3's demuxer includes the trimmed frames in the duration; the others do not.
        if !packet.trim_end.is_zero() && packet.trim_end >= packet.dur {
            self.stats.surplus += 1;
            if self.stats.has_surplus() {
                packet.dur = if packet.dur.is_zero() { packet.trim_end } else { packet.dur };
                packet.trim_end = Duration::ZERO;
            }
        }
    }

    /// Decodes `packet` into `pcm`, or replaces it by silence if it is damaged.
    fn decode(&mut self, packet: &Packet, pcm: &mut Pcm) -> Result<(), Error> {
        self.stats.packets += 1;
        let decoder = &mut self.codec.decoder;
        let decoded = catch_panic(|| {
            let buffer = decoder.decode(packet)?;
            buffer.copy_to_vecs_planar(&mut pcm.planes);
            Ok((buffer.spec().rate(), buffer.spec().channels().count()))
        });
        match decoded {
            Ok((sample_rate, channels)) => {
                if pcm.frames() > 0 {
                    check_channels(channels, self.limits.channels)?;
                    check_sample_rate(sample_rate)?;
                    (self.codec.sample_rate, self.codec.channels) = (sample_rate, channels);
                }
            }
            Err(e) => {
                tracing::debug!(packet = self.stats.packets, error = %e, "damaged packet");
                self.stats.damaged += 1;
                if matches!(
                    e,
                    SymphoniaError::ResetRequired | SymphoniaError::DecodeError(PANICKED)
                ) {
                    self.recreate_decoder()?;
                }
                pcm.silence(self.codec.channels, self.lost_frames(packet));
            }
        }
        pcm.sample_rate = self.codec.sample_rate;
        Ok(())
    }

    fn recreate_decoder(&mut self) -> Result<(), Error> {
        if let Some(track) = self.reader.tracks().iter().find(|track| track.id == self.track) {
            let Codec { encoder_delay, channels, .. } = self.codec;
            self.codec =
                Codec { encoder_delay, channels, ..Codec::open(track, self.limits.channels)? };
        }
        Ok(())
    }

    /// Returns the number of frames in a damaged packet. As many frames of silence keep the times of
    /// the audio after it right.
    fn lost_frames(&self, packet: &Packet) -> usize {
        /// No codec has packets this long, so a longer duration is part of the damage.
        const MAX_SECONDS: f64 = 1.0;
        let seconds = self.time_base.and_then(|base| base.calc_duration(packet.dur));
        let seconds = seconds.map_or(0.0, |time| time.as_secs_f64());
        (seconds.clamp(0.0, MAX_SECONDS) * f64::from(self.codec.sample_rate)).round() as usize
    }
}

fn audio_track(reader: &dyn FormatReader) -> Option<&Track> {
    reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio))
}
