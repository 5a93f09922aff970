//! The packets of an audio track, decoded one by one and placed on the recording's clock.

use std::collections::VecDeque;
use std::sync::Arc;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use crate::Error;
use crate::clock::{self, Clock, Times};
use crate::codec::Codec;
use crate::decode::{Decoded, Kept, TrackDecoder, Trims};
use crate::frame_bytes::FrameBytes;
use crate::panics::catch_panic;
use crate::parts::Parts;
use crate::pcm::Pcm;
use crate::source::ReadMonitor;
use crate::stats::{PacketStats, StreamEnd};
use crate::tracks::AudioTrack;

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
    /// All audio tracks, the number of the one to decode, and warnings about the choice.
    pub(crate) tracks: Vec<AudioTrack>,
    pub(crate) number: usize,
    pub(crate) warnings: Vec<String>,
    pub(crate) container: &'static str,
    pub(crate) times: Times,
    pub(crate) trims: Trims,
    pub(crate) limits: PacketLimits,
    /// Seconds that the header declares.
    pub(crate) declared: Option<f64>,
}

/// Recordings in one file, each of which takes the time to open a demuxer.
const MAX_RECORDINGS: u64 = 10_000;

/// Opens a demuxer where the source is.
pub(crate) type OpenPart = Box<dyn FnMut(&Parts) -> Result<Demuxer, Error> + Send + Sync>;

/// Audio that is ready to be output.
enum Ready {
    Silence { frames: u64, sample_rate: u32 },
    Audio(Pcm),
}

/// The packets of an audio track, decoded one by one.
pub(crate) struct Packets {
    demuxer: Demuxer,
    parts: Parts,
    open_part: OpenPart,
    monitor: ReadMonitor,
    decoder: TrackDecoder,
    clock: Clock,
    stats: PacketStats,
    /// Consecutive packets without audio.
    packets_without_audio: u32,
    ready: VecDeque<Ready>,
    /// Where the frames of MPEG audio are.
    frame_bytes: FrameBytes,
    /// Packets after the declared end that may be padding.
    surplus: Vec<Packet>,
    /// A packet with another number of channels or sample rate, which is damage if it is alone.
    changed: Option<(Packet, Kept)>,
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
        let decoder = open_decoder(&demuxer)?;
        let rate = decoder.codec.sample_rate;
        let clock = Clock::new(demuxer.times, rate, demuxer.limits.seconds);
        let mut packets = Packets {
            stats: PacketStats { declared: demuxer.declared, ..PacketStats::default() },
            demuxer,
            parts,
            open_part,
            monitor,
            decoder,
            clock,
            packets_without_audio: 0,
            ready: VecDeque::new(),
            frame_bytes: FrameBytes::default(),
            surplus: Vec::new(),
            changed: None,
            end: None,
        };
        // MP3 in MP4 declares its channels only in the first packet.
        while packets.codec().channels == 0 {
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
        &self.decoder.codec
    }

    pub(crate) fn demuxer(&self) -> &Demuxer {
        &self.demuxer
    }

    /// Sets the duration in seconds that the recording declares, for a demuxer that does not know it.
    pub(crate) fn declare_duration(&mut self, seconds: f64) {
        self.stats.declared = Some(seconds);
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
                    pcm.silence(self.codec().channels, now as usize);
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
                    if self.is_mpeg() {
                        self.frame_bytes.add(&packet.data, &self.parts.source());
                    }
                    return Ok(Some(packet));
                }
                Ok(Some(packet)) => {
                    self.see_other(&packet);
                    continue;
                }
                Ok(None) => StreamEnd::Complete,
                Err(SymphoniaError::ResetRequired) => match self.open_chained_stream() {
                    Ok(()) => continue,
                    Err(error) => {
                        self.lose_recording(error, "")?;
                        StreamEnd::Complete
                    }
                },
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
                if self.is_mpeg() {
                    self.stats.lost_bytes = self.frame_bytes.lost(&self.parts.source());
                }
                self.end = Some(end);
                return Ok(None);
            }
        }
    }

    fn is_mpeg(&self) -> bool {
        matches!(self.demuxer.container, "mp1" | "mp2" | "mp3")
    }

    /// Lets the clock know when another track of sound or picture begins.
    fn see_other(&mut self, packet: &Packet) {
        let tracks = self.demuxer.reader.tracks();
        let track = tracks.iter().find(|track| track.id == packet.track_id);
        let counts = |track: &&Track| {
            matches!(track.track_type(), Some(TrackType::Audio | TrackType::Video))
        };
        if let Some(track) = track.filter(counts)
            && let Some(time) = clock::time(packet.pts, track.time_base, self.codec().sample_rate)
        {
            self.clock.see_other(time);
        }
    }

    /// Opens a decoder for another logical stream that begins here (chained Ogg).
    fn open_chained_stream(&mut self) -> Result<(), Error> {
        self.flush()?;
        let track = audio_track(&*self.demuxer.reader)
            .ok_or_else(|| Error::corrupt("a chained stream has no audio"))?;
        self.demuxer.track = track.id;
        let decoder = open_decoder(&self.demuxer)?;
        self.stats.declared = None;
        self.begin_recording(decoder);
        Ok(())
    }

    /// Opens a demuxer for the recording that follows in the file, if one does.
    fn open_next_part(&mut self) -> Result<bool, Error> {
        let next = self.parts.advance();
        if let Some(failure) = self.monitor.take_failure() {
            return Err(failure.into());
        }
        let Some(at) = next.map_err(Error::Read)? else { return Ok(false) };
        if self.stats.recordings == MAX_RECORDINGS {
            return Err(Error::corrupt(format!(
                "more than {MAX_RECORDINGS} recordings in one file"
            )));
        }
        self.flush()?;
        let opened = (self.open_part)(&self.parts).and_then(|demuxer| {
            let decoder = open_decoder(&demuxer)?;
            Ok((demuxer, decoder))
        });
        if let Some(failure) = self.monitor.take_failure() {
            return Err(failure.into());
        }
        let (demuxer, decoder) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.lose_recording(error, &format!(", at byte {at}"))?;
                return Ok(false);
            }
        };
        let declared = self.stats.declared.zip(demuxer.declared);
        self.stats.declared = declared.map(|(before, this)| before + this);
        self.demuxer = demuxer;
        self.begin_recording(decoder);
        Ok(true)
    }

    /// Takes note of a recording that cannot be read. Those before it can.
    fn lose_recording(&mut self, error: Error, place: &str) -> Result<(), Error> {
        if matches!(error, Error::Read(_) | Error::LimitExceeded { .. }) {
            return Err(error);
        }
        let after = self.clock.seconds();
        self.stats.lost_part = Some(format!(
            "another recording begins in the file after {after:.1} s{place}; it was not decoded: \
             {error}"
        ));
        Ok(())
    }

    fn begin_recording(&mut self, decoder: TrackDecoder) {
        self.decoder = decoder;
        self.clock.set_rate(self.codec().sample_rate);
        self.clock.restart(self.demuxer.times);
        self.stats.recordings += 1;
    }

    /// Decodes `packet`, or holds it until it is clear what it is.
    fn take(&mut self, packet: Packet) -> Result<(), Error> {
        // MP3's demuxer trims packets after the declared end to nothing, which is right for an
        // encoder's padding. If more follow, the header is wrong (concatenated files).
        if self.demuxer.trims == Trims::ByDecoder
            && !packet.trim_end.is_zero()
            && packet.trim_end >= packet.dur
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
            Some((packet, kept)) => {
                self.decoder.renew(track(&self.demuxer)?)?;
                self.decode_again(&packet, kept)
            }
            None => Ok(()),
        }
    }

    /// Decodes `packet` after the one that is held, if one is.
    fn decode_next(&mut self, mut packet: Packet) -> Result<(), Error> {
        let kept = self.decoder.take_trims(&mut packet);
        let decoded = self.decoder.decode(&packet, track(&self.demuxer)?)?;
        match (self.changed.take(), &decoded) {
            (None, Decoded::Changed) => self.changed = Some((packet, kept)),
            (Some((before, kept_before)), Decoded::Changed) => {
                // Two in a row: the recording goes on with other properties.
                self.decoder.renew(track(&self.demuxer)?)?;
                self.decode_again(&before, kept_before)?;
                self.decode_again(&packet, kept)?;
            }
            (before, _) => {
                if let Some((before, kept)) = before {
                    self.output(&before, Decoded::Damaged, kept);
                }
                self.output(&packet, decoded, kept);
            }
        }
        Ok(())
    }

    fn decode_again(&mut self, packet: &Packet, kept: Kept) -> Result<(), Error> {
        let decoded = self.decoder.decode(packet, track(&self.demuxer)?)?;
        self.output(packet, decoded, kept);
        Ok(())
    }

    /// Outputs the audio of a packet at its time, or silence if it cannot be decoded.
    fn output(&mut self, packet: &Packet, decoded: Decoded, kept: Kept) {
        self.stats.packets += 1;
        let mut pcm = match decoded {
            Decoded::Audio(pcm) => pcm,
            Decoded::Damaged | Decoded::Changed => {
                let pcm = self.decoder.silence(packet);
                self.stats.damaged += 1;
                self.stats.damaged_seconds += pcm.seconds();
                pcm
            }
        };
        let time = self.decoder.crop(packet, &mut pcm, kept);
        let (frames, sample_rate) = (pcm.frames() as u64, self.codec().sample_rate);
        if frames == 0 {
            return;
        }
        self.clock.set_rate(sample_rate);
        let silence = self.clock.place(time, frames, sample_rate);
        if silence > 0 {
            self.ready.push_back(Ready::Silence { frames: silence, sample_rate });
        }
        self.ready.push_back(Ready::Audio(pcm));
    }
}

fn open_decoder(demuxer: &Demuxer) -> Result<TrackDecoder, Error> {
    TrackDecoder::open(track(demuxer)?, demuxer.trims, demuxer.limits.channels)
}

fn track(demuxer: &Demuxer) -> Result<&Track, Error> {
    let container = demuxer.container;
    let mut tracks = demuxer.reader.tracks().iter();
    tracks
        .find(|track| track.id == demuxer.track)
        .ok_or_else(|| Error::NoAudioTrack { container: container.into() })
}

/// Returns the audio track of a chained stream.
fn audio_track(reader: &dyn FormatReader) -> Option<&Track> {
    reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio))
}
