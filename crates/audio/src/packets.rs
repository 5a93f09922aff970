//! The packets of an audio track, decoded one by one and placed on the recording's clock.

use std::collections::VecDeque;
use std::sync::Arc;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::Error;
use crate::clock::{self, Clock, Times};
use crate::codec::{Codec, check_channels, check_sample_rate};
use crate::panics::{PANICKED, catch_panic};
use crate::parts::Parts;
use crate::pcm::Pcm;
use crate::source::ReadMonitor;
use crate::stats::{PacketStats, StreamEnd};

/// Limits above which a recording is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketLimits {
    /// Bytes of a packet.
    pub(crate) bytes: u64,
    pub(crate) channels: usize,
    /// Seconds beyond which no gap is filled.
    pub(crate) seconds: f64,
}

/// A demuxer with what is known about its container.
pub(crate) struct Demuxer {
    pub(crate) reader: Box<dyn FormatReader>,
    /// The track to decode.
    pub(crate) track: u32,
    pub(crate) container: &'static str,
    pub(crate) times: Times,
    /// Whether packets state what to trim from them; else decoders trim.
    pub(crate) states_trims: bool,
    pub(crate) limits: PacketLimits,
    /// Seconds that the header declares.
    pub(crate) declared: Option<f64>,
}

/// Opens a demuxer where the source is.
pub(crate) type OpenPart = Box<dyn FnMut(&Parts) -> Result<Demuxer, Error> + Send + Sync>;

/// Audio that is ready to be output.
enum Ready {
    Silence { frames: u64, sample_rate: u32 },
    Audio(Pcm),
}

/// What decoding a packet gave.
enum Decoded {
    Audio(Pcm),
    Damaged,
    /// The packet has another number of channels or sample rate than the decoder was opened for.
    Changed,
}

/// The packets of an audio track, decoded one by one.
pub(crate) struct Packets {
    demuxer: Demuxer,
    parts: Parts,
    open_part: OpenPart,
    monitor: ReadMonitor,
    time_base: Option<TimeBase>,
    codec: Codec,
    /// Whether the codec itself says how much its encoder added at the beginning.
    codec_delays: bool,
    clock: Clock,
    stats: PacketStats,
    /// Consecutive packets without audio.
    packets_without_audio: u32,
    ready: VecDeque<Ready>,
    /// Packets after the declared end that may be padding.
    surplus: Vec<Packet>,
    /// A packet with another number of channels or sample rate, which is damage if it is alone.
    changed: Option<Packet>,
    end: Option<StreamEnd>,
}

impl Packets {
    /// Opens the decoder for the track of `demuxer`. `open_part` opens the next one if another
    /// recording follows in `parts`.
    pub(crate) fn open(
        demuxer: Demuxer,
        parts: Parts,
        monitor: ReadMonitor,
        open_part: OpenPart,
    ) -> Result<Self, Error> {
        let track = track(&demuxer)?;
        let time_base = track.time_base;
        let codec = Codec::open(track, demuxer.limits.channels)?;
        let clock = Clock::new(demuxer.times, codec.sample_rate, demuxer.limits.seconds);
        let mut packets = Packets {
            stats: PacketStats { declared: demuxer.declared, ..PacketStats::default() },
            demuxer,
            parts,
            open_part,
            monitor,
            time_base,
            codec_delays: codec.encoder_delay > 0,
            codec,
            clock,
            packets_without_audio: 0,
            ready: VecDeque::new(),
            surplus: Vec::new(),
            changed: None,
            end: None,
        };
        // MP3 in MP4 declares its channels only in the first packet.
        while packets.codec.channels == 0 {
            if !packets.fill()? {
                return Err(Error::corrupt("no packet can be decoded"));
            }
        }
        Ok(packets)
    }

    pub(crate) fn container(&self) -> &'static str {
        self.demuxer.container
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

    /// Appends what was found out about the recording to `warnings`.
    pub(crate) fn append_warnings(&mut self, warnings: &mut Vec<String>) {
        self.clock.append_warnings(warnings);
        self.stats.append_warnings(warnings);
        warnings.extend(crate::notes::take(&mut *self.demuxer.reader));
    }

    /// Fills `pcm` with the next audio, or with silence for at most a second of audio that is
    /// missing. Returns `false` at the end, whose cause [`Packets::end`] returns.
    pub(crate) fn next(&mut self, pcm: &mut Pcm) -> Result<bool, Error> {
        loop {
            match self.ready.pop_front() {
                Some(Ready::Audio(audio)) => {
                    *pcm = audio;
                    return Ok(true);
                }
                Some(Ready::Silence { frames, sample_rate }) => {
                    let now = frames.min(u64::from(sample_rate));
                    pcm.silence(self.codec.channels, now as usize);
                    pcm.sample_rate = sample_rate;
                    if frames > now {
                        let rest = Ready::Silence { frames: frames - now, sample_rate };
                        self.ready.push_front(rest);
                    }
                    return Ok(true);
                }
                None if !self.fill()? => return Ok(false),
                None => {}
            }
        }
    }

    /// Decodes the next packet. Returns `false` at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        /// More than any codec or muxer puts before the first audio.
        const MAX_WITHOUT_AUDIO: u32 = 10_000;
        if self.end.is_some() {
            return Ok(false);
        }
        let before = self.ready.len();
        match self.next_packet()? {
            Some(packet) => self.take(packet)?,
            None => self.flush()?,
        }
        let has_audio = self.ready.len() > before;
        self.packets_without_audio = if has_audio { 0 } else { self.packets_without_audio + 1 };
        if self.stats.is_mostly_damaged() || self.packets_without_audio > MAX_WITHOUT_AUDIO {
            return Err(Error::corrupt(format!(
                "{} of the first {} packets cannot be decoded",
                self.stats.damaged, self.stats.packets
            )));
        }
        Ok(true)
    }

    /// Returns the next packet of the track, or sets `self.end` and returns `None`.
    fn next_packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            self.monitor.limit_element(self.demuxer.limits.bytes);
            let end = match catch_panic(|| self.demuxer.reader.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.demuxer.track => {
                    return Ok(Some(packet));
                }
                Ok(Some(packet)) => {
                    self.see_other(&packet);
                    continue;
                }
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
            if !self.open_next_part()? {
                self.end = Some(end);
                return Ok(None);
            }
        }
    }

    /// Lets the clock know when another track of sound or picture begins.
    fn see_other(&mut self, packet: &Packet) {
        let tracks = self.demuxer.reader.tracks();
        let track = tracks.iter().find(|track| track.id == packet.track_id);
        let counts = |track: &&Track| {
            matches!(track.track_type(), Some(TrackType::Audio | TrackType::Video))
        };
        if let Some(track) = track.filter(counts)
            && let Some(time) = clock::time(packet.pts, track.time_base, self.codec.sample_rate)
        {
            self.clock.see_other(time);
        }
    }

    /// Opens a decoder for another logical stream that begins here (chained Ogg).
    fn open_chained_stream(&mut self) -> Result<(), Error> {
        self.flush()?;
        let track = audio_track(&*self.demuxer.reader)
            .ok_or_else(|| Error::corrupt("a chained stream has no audio"))?;
        let codec = Codec::open(track, self.demuxer.limits.channels)?;
        (self.demuxer.track, self.time_base) = (track.id, track.time_base);
        self.stats.declared = None;
        self.begin_recording(codec, self.demuxer.times);
        Ok(())
    }

    /// Opens a demuxer for the recording that follows in the file, if one does.
    fn open_next_part(&mut self) -> Result<bool, Error> {
        let next = self.parts.advance();
        if let Some(failure) = self.monitor.take_failure() {
            return Err(failure.into());
        }
        let Some(at) = next.map_err(Error::Read)? else { return Ok(false) };
        self.flush()?;
        let opened = (self.open_part)(&self.parts).and_then(|demuxer| {
            let codec = Codec::open(track(&demuxer)?, demuxer.limits.channels)?;
            Ok((demuxer, codec))
        });
        if let Some(failure) = self.monitor.take_failure() {
            return Err(failure.into());
        }
        let (demuxer, codec) = match opened {
            Ok(opened) => opened,
            Err(error @ (Error::Read(_) | Error::LimitExceeded { .. })) => return Err(error),
            Err(error) => {
                self.stats.lost_part = Some(format!(
                    "a second recording begins in the file after {:.1} s, at byte {at}; it was not \
                     decoded: {error}",
                    self.clock.seconds()
                ));
                return Ok(false);
            }
        };
        self.time_base = track(&demuxer)?.time_base;
        let declared = self.stats.declared.zip(demuxer.declared);
        self.stats.declared = declared.map(|(before, this)| before + this);
        self.demuxer = demuxer;
        self.begin_recording(codec, self.demuxer.times);
        Ok(true)
    }

    fn begin_recording(&mut self, codec: Codec, times: Times) {
        self.codec_delays = codec.encoder_delay > 0;
        self.codec = codec;
        self.clock.set_rate(self.codec.sample_rate);
        self.clock.restart(times);
        self.stats.recordings += 1;
    }

    /// Decodes `packet`, or holds it until it is clear what it is.
    fn take(&mut self, packet: Packet) -> Result<(), Error> {
        // MP3's demuxer trims packets after the declared end to nothing, which is right for an
        // encoder's padding. If more follow, the header is wrong (concatenated files).
        if !self.demuxer.states_trims && !packet.trim_end.is_zero() && packet.trim_end >= packet.dur
        {
            self.stats.surplus += 1;
            self.surplus.push(packet);
            if self.stats.has_surplus() {
                for mut packet in std::mem::take(&mut self.surplus) {
                    packet.dur = if packet.dur.is_zero() { packet.trim_end } else { packet.dur };
                    packet.trim_end = Duration::ZERO;
                    self.decode_next(packet)?;
                }
            }
            return Ok(());
        }
        self.decode_next(packet)
    }

    /// Decodes what is held when no more packets follow.
    fn flush(&mut self) -> Result<(), Error> {
        self.surplus.clear();
        match self.changed.take() {
            Some(packet) => {
                self.recreate_decoder()?;
                self.decode_or_replace(packet)
            }
            None => Ok(()),
        }
    }

    /// Decodes `packet` after the one that is held, if one is.
    fn decode_next(&mut self, mut packet: Packet) -> Result<(), Error> {
        let trims = self.take_trims(&mut packet);
        let decoded = self.decode(&packet)?;
        match (self.changed.take(), &decoded) {
            (None, Decoded::Changed) => {
                self.changed = Some(packet);
                Ok(())
            }
            (Some(before), Decoded::Changed) => {
                // Two in a row: the recording goes on with other properties.
                self.recreate_decoder()?;
                self.decode_or_replace(before)?;
                self.decode_or_replace(packet)
            }
            (before, _) => {
                if let Some(before) = before {
                    self.replace(&before, (0, 0));
                }
                self.finish(&packet, decoded, trims);
                Ok(())
            }
        }
    }

    /// Decodes `packet`, or replaces it by silence.
    fn decode_or_replace(&mut self, mut packet: Packet) -> Result<(), Error> {
        let trims = self.take_trims(&mut packet);
        let decoded = self.decode(&packet)?;
        self.finish(&packet, decoded, trims);
        Ok(())
    }

    fn finish(&mut self, packet: &Packet, decoded: Decoded, trims: (u64, u64)) {
        match decoded {
            Decoded::Audio(pcm) => {
                self.stats.packets += 1;
                self.place(packet, pcm, trims);
            }
            Decoded::Damaged | Decoded::Changed => self.replace(packet, trims),
        }
    }

    /// Removes from a packet what is to be trimmed from its audio, and returns it as the first frame
    /// and the one behind the last.
    fn take_trims(&self, packet: &mut Packet) -> (u64, u64) {
        if !self.demuxer.states_trims {
            return (0, u64::MAX);
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
        (frames(start), until)
    }

    /// Decodes `packet`.
    fn decode(&mut self, packet: &Packet) -> Result<Decoded, Error> {
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
                    check_channels(channels, self.demuxer.limits.channels)?;
                    check_sample_rate(sample_rate)?;
                    (self.codec.sample_rate, self.codec.channels) = (sample_rate, channels);
                    self.clock.set_rate(sample_rate);
                }
                pcm.sample_rate = self.codec.sample_rate;
                Ok(Decoded::Audio(pcm))
            }
            // Only the message tells that the decoder of MPEG audio has to be opened anew.
            Err(SymphoniaError::DecodeError(why)) if why.contains("signal spec") => {
                Ok(Decoded::Changed)
            }
            Err(e) => {
                tracing::debug!(packet = self.stats.packets, error = %e, "damaged packet");
                if matches!(
                    e,
                    SymphoniaError::ResetRequired | SymphoniaError::DecodeError(PANICKED)
                ) {
                    self.recreate_decoder()?;
                }
                Ok(Decoded::Damaged)
            }
        }
    }

    fn recreate_decoder(&mut self) -> Result<(), Error> {
        let codec = Codec::open(track(&self.demuxer)?, self.demuxer.limits.channels)?;
        self.codec.decoder = codec.decoder;
        Ok(())
    }

    /// Puts silence in the place of a packet that cannot be decoded, so that the times of the audio
    /// after it stay right.
    fn replace(&mut self, packet: &Packet, trims: (u64, u64)) {
        /// No codec has packets this long, so a longer duration is part of the damage.
        const MAX_SECONDS: f64 = 1.0;
        let seconds = self.time_base.and_then(|base| base.calc_duration(packet.dur));
        let seconds = seconds.map_or(0.0, |time| time.as_secs_f64()).clamp(0.0, MAX_SECONDS);
        let frames = (seconds * f64::from(self.codec.sample_rate)).round() as usize;
        self.stats.packets += 1;
        self.stats.damaged += 1;
        self.stats.damaged_seconds += seconds;
        let mut pcm = Pcm { sample_rate: self.codec.sample_rate, ..Pcm::default() };
        pcm.silence(self.codec.channels, frames);
        self.place(packet, pcm, trims);
    }

    /// Removes from `pcm` what is not part of the recording, and outputs the rest at its time.
    fn place(&mut self, packet: &Packet, mut pcm: Pcm, (start, end): (u64, u64)) {
        /// An encoder adds less than this before the audio.
        const MAX_DELAY_SECONDS: i64 = 1;
        let frames = pcm.frames() as u64;
        let delay = self.codec.encoder_delay.min(frames);
        self.codec.encoder_delay -= delay;
        let mut start = start.max(delay).min(frames);
        let rate = self.codec.sample_rate;
        let time = clock::time(packet.pts, self.time_base, rate);
        let mut time = time.map(|time| time.saturating_add_unsigned(start));
        if self.demuxer.times == Times::FromEarliestTrack
            && !self.codec_delays
            && let Some(early) =
                time.filter(|time| (-i64::from(rate) * MAX_DELAY_SECONDS..0).contains(time))
        {
            // Matroska puts audio that its `CodecDelay` says not to play before zero.
            let skip = early.unsigned_abs().min(frames - start);
            start += skip;
            time = Some(early.saturating_add_unsigned(skip));
        }
        pcm.crop(start as usize, usize::try_from(end).unwrap_or(usize::MAX));
        let frames = pcm.frames() as u64;
        if frames == 0 {
            return;
        }
        let silence = self.clock.place(time, frames, rate);
        if silence > 0 {
            self.ready.push_back(Ready::Silence { frames: silence, sample_rate: rate });
        }
        self.ready.push_back(Ready::Audio(pcm));
    }
}

fn track(demuxer: &Demuxer) -> Result<&Track, Error> {
    let container = demuxer.container;
    let mut tracks = demuxer.reader.tracks().iter();
    tracks
        .find(|track| track.id == demuxer.track)
        .ok_or_else(|| Error::NoAudioTrack { container: container.into() })
}

/// Returns the audio track to decode.
pub(crate) fn audio_track(reader: &dyn FormatReader) -> Option<&Track> {
    reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio))
}
