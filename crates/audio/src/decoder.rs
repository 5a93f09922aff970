//! The public decoder: from a source of bytes to blocks of 16 kHz PCM.

use std::collections::VecDeque;
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use crate::Error;
use crate::container::Info;
use crate::ffmpeg::SharedLog;
use crate::limits::Limits;
use crate::mix::Mixer;
use crate::open::{self, Opened};
use crate::options::{ChannelMode, DecodeOptions};
use crate::packets::Packets;
use crate::pcm::Pcm;
use crate::resample::Resampler;
use crate::source::ReadMonitor;
use crate::stats::StreamEnd;
use crate::tracks::{self, AudioTrack};
use crate::two_sided::TwoSided;
use crate::warnings::Tally;

/// A block of 16 kHz PCM in [-1, 1]: one vector per output channel, all of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    pub channels: Vec<Vec<f32>>,
}

/// Results of decoding, complete once [`Decoder::next_block`] has returned `false`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Seconds of audio decoded.
    pub duration: f64,
    pub bytes_read: u64,
    /// Sentences for the transcript: about damaged packets, samples that were not finite, and headers
    /// that disagree with the file.
    pub warnings: Vec<String>,
}

/// Blocks of about a second that are decoded in advance to tell calls from other recordings.
const BLOCKS_AHEAD: usize = 180;

/// Decodes a recording block by block, in memory that does not grow with its length.
pub struct Decoder {
    info: Info,
    report: Report,
    limits: Limits,
    mode: ChannelMode,
    allow_truncated: bool,
    packets: Packets,
    monitor: ReadMonitor,
    /// All audio tracks, and the number of the one that is decoded.
    tracks: Vec<AudioTrack>,
    track: usize,
    /// What FFmpeg complains about, if it decodes.
    log: Option<SharedLog>,
    /// The largest sample.
    peak: f32,
    resampler: Resampler,
    /// PCM as decoded.
    pcm: Pcm,
    /// The same with the channels as they are output.
    planes: Vec<Vec<f32>>,
    /// Seconds decoded before the last change of the sample rate.
    seconds_before: f64,
    /// Frames decoded since then.
    frames: u64,
    mixer: Mixer,
    /// Blocks decoded in advance, with the channels apart, and whether they and all others are mixed
    /// afterwards.
    ahead: VecDeque<Block>,
    mixes_blocks: bool,
    /// Channels of the PCM, and changes of their number and of the sample rate.
    channels: usize,
    changes: Tally,
    /// Samples that were NaN or infinite.
    not_finite: u64,
    finished: bool,
}

impl Decoder {
    /// Detects the format from the content and reads the headers. Reads forward only, unless the
    /// container is MP4, CAF or AIFF, whose index may be at the end of the file.
    pub fn open(source: Box<dyn MediaSource>, options: &DecodeOptions) -> Result<Self, Error> {
        let limits = options.limits.clone();
        let Opened { packets, info, monitor, tracks, track, warnings, log } =
            open::open(source, options)?;
        if let Some(declared) = info.declared_duration {
            check_duration(declared, &limits)?;
        }
        let mode = match options.channels {
            ChannelMode::Auto if info.channels != 2 => ChannelMode::Mix,
            mode => mode,
        };
        let channels = match mode {
            ChannelMode::Mix => 1,
            ChannelMode::Split | ChannelMode::Auto => info.channels,
        };
        let mut decoder = Decoder {
            ahead: VecDeque::new(),
            mixes_blocks: false,
            resampler: Resampler::new(info.sample_rate, channels)?,
            planes: vec![Vec::new(); channels],
            channels: info.channels,
            mixer: Mixer::default(),
            changes: Tally::default(),
            report: Report { bytes_read: monitor.bytes_read(), warnings, ..Report::default() },
            info,
            limits,
            mode,
            allow_truncated: options.allow_truncated,
            packets,
            monitor,
            tracks,
            track,
            log,
            peak: 0.0,
            pcm: Pcm::default(),
            seconds_before: 0.0,
            frames: 0,
            not_finite: 0,
            finished: false,
        };
        if mode == ChannelMode::Auto {
            decoder.decide()?;
        }
        Ok(decoder)
    }

    /// Decodes the beginning to find out whether it is that of a call with two sides.
    fn decide(&mut self) -> Result<(), Error> {
        let mut measured = TwoSided::default();
        while self.ahead.len() < BLOCKS_AHEAD && !measured.is_certain() {
            let mut block = Block::default();
            if !self.decode_block(&mut block)? {
                break;
            }
            measured.push(&block.channels);
            self.ahead.push_back(block);
        }
        self.mixes_blocks = !measured.is_call();
        Ok(())
    }

    /// Returns the properties of the recording.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the number of the audio track that is decoded, counted from 1.
    pub fn audio_track(&self) -> usize {
        self.track
    }

    /// Returns the number of audio tracks of the file.
    pub fn audio_tracks(&self) -> usize {
        self.tracks.len()
    }

    /// Returns the number of vectors in each block: 1 if the channels are mixed.
    pub fn output_channels(&self) -> usize {
        if self.mixes_blocks { 1 } else { self.planes.len() }
    }

    /// Fills `block`, whose buffers are reused, with about a second of PCM. Returns `false` at the end
    /// of the recording.
    ///
    /// # Errors
    ///
    /// Errors that depend on the whole recording ([`Error::Truncated`] and [`Error::Corrupt`]) are
    /// returned in place of its last block.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, Error> {
        let more = match self.ahead.pop_front() {
            Some(ahead) => {
                *block = ahead;
                true
            }
            None => self.decode_block(block)?,
        };
        if self.mixes_blocks {
            let mut mixed = Vec::new();
            self.mixer.mix(&block.channels, crate::SAMPLE_RATE, self.report.duration, &mut mixed);
            block.channels.truncate(1);
            block.channels[0] = mixed;
        }
        Ok(more)
    }

    fn decode_block(&mut self, block: &mut Block) -> Result<bool, Error> {
        block.channels.resize_with(self.planes.len(), Vec::new);
        for channel in &mut block.channels {
            channel.clear();
        }
        while !self.finished && block.channels[0].len() < crate::SAMPLE_RATE as usize {
            if self.packets.next(&mut self.pcm)? {
                self.process_pcm(block)?;
            } else {
                self.finished = true;
                self.resampler.finish(&mut block.channels)?;
                self.check_completeness()?;
            }
        }
        for sample in block.channels.iter_mut().flatten() {
            *sample = sample.clamp(-1.0, 1.0);
        }
        self.report.bytes_read = self.monitor.bytes_read();
        Ok(!block.channels[0].is_empty())
    }

    /// Returns the results so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Mixes or splits the channels of the decoded PCM and resamples it into `block`.
    fn process_pcm(&mut self, block: &mut Block) -> Result<(), Error> {
        let (rate, at) = (self.pcm.sample_rate, self.report.duration);
        if rate != self.resampler.sample_rate() {
            self.resampler.finish(&mut block.channels)?;
            self.resampler = Resampler::new(rate, self.planes.len())?;
            (self.seconds_before, self.frames) = (at, 0);
            let sentence = || format!("the sample rate changes to {rate} Hz after {at:.1} s");
            self.changes.add(0.0, sentence);
        }
        let channels = self.pcm.planes.len();
        if channels != self.channels {
            let before = std::mem::replace(&mut self.channels, channels);
            let consequence = self.split_consequence();
            let sentence = || {
                format!(
                    "the channels change from {before} to {channels} after {at:.1} s{consequence}"
                )
            };
            self.changes.add(0.0, sentence);
        }
        self.frames += self.pcm.frames() as u64;
        self.report.duration = self.seconds_before + self.frames as f64 / f64::from(rate);
        check_duration(self.report.duration, &self.limits)?;

        for sample in self.pcm.planes.iter_mut().flatten() {
            if !sample.is_finite() {
                *sample = 0.0;
                self.not_finite += 1;
            }
            // Codecs may overshoot [-1, 1], but the Fourier transforms of the resampler must not
            // overflow.
            *sample = sample.clamp(-16.0, 16.0);
            self.peak = self.peak.max(sample.abs());
        }
        match self.mode {
            ChannelMode::Mix => self.mixer.mix(&self.pcm.planes, rate, at, &mut self.planes[0]),
            ChannelMode::Split | ChannelMode::Auto => {
                split(&mut self.pcm, &mut self.planes, &mut self.mixer, at)
            }
        }
        self.resampler.push(&self.planes, &mut block.channels)
    }

    /// Returns what a change of the number of channels means for channels that are kept apart.
    fn split_consequence(&self) -> &'static str {
        match self.mode {
            ChannelMode::Split | ChannelMode::Auto if self.channels < self.planes.len() => {
                ": those that are missing are silent from there on"
            }
            ChannelMode::Split | ChannelMode::Auto if self.channels > self.planes.len() => {
                ": those added are mixed into the last one"
            }
            _ => "",
        }
    }

    /// Checks at the end whether the recording was complete and readable; adds warnings.
    fn check_completeness(&mut self) -> Result<(), Error> {
        let (stats, end) = (self.packets.stats(), self.packets.end());
        let decoded = self.report.duration;
        // The headers of Matroska and of fragmented MP4 declare the duration of the longest track, so
        // an audio track that is shorter than the video is complete.
        let may_be_shorter = matches!(self.info.container.as_str(), "mkv" | "webm" | "mp4");
        let ended_regularly = matches!(end, Some(StreamEnd::Complete));
        let expected = stats.declared.filter(|_| !(may_be_shorter && ended_regularly));
        // For example a browser's recording, which ends where the file ends.
        let is_live =
            matches!(self.info.container.as_str(), "mkv" | "webm") && stats.declared.is_none();
        let short = expected.filter(|declared| declared - decoded > TOLERATED_SECONDS);
        // If frames are missing in the middle, the file is as complete as it can be.
        let has_lost = stats.lost_bytes.is_some();
        let truncated = short.filter(|_| !has_lost).filter(|declared| {
            let missing = declared - decoded;
            decoded == 0.0 || missing > MISSING_SECONDS && missing > MISSING_SHARE * declared
        });
        let is_complete = expected.is_some() && short.is_none();
        let corrupt = stats
            .is_corrupt()
            .then(|| format!("{} of {} packets cannot be decoded", stats.damaged, stats.packets));
        let unreadable = match end {
            // Data after a complete recording is not part of it: tags, padding.
            Some(StreamEnd::Unreadable(_)) if is_complete => None,
            Some(StreamEnd::Unreadable(error)) => {
                Some((format!("unreadable after {decoded:.1} s"), error))
            }
            _ => None,
        };

        if let Some(reason) = corrupt {
            return Err(Error::corrupt(reason));
        }
        if !self.allow_truncated || decoded == 0.0 {
            if let Some(declared) = truncated {
                return Err(Error::Truncated { declared, decoded });
            }
            if let Some((reason, error)) = unreadable {
                return Err(Error::corrupt_by(reason, Arc::clone(error)));
            }
        }
        if decoded == 0.0 && unreadable.is_none() {
            return Err(Error::Empty);
        }
        let mut warnings = std::mem::take(&mut self.report.warnings);
        if let Some(declared) = short.filter(|_| has_lost) {
            let missing = declared - decoded;
            warnings.push(format!(
                "{missing:.1} s of {declared:.1} s are missing within the recording; times after \
                 that are earlier than they were"
            ));
        } else if let Some(declared) = short {
            let error = Error::Truncated { declared, decoded };
            warnings.push(format!("{error}; the available audio was decoded"));
        } else if let Some((reason, error)) = unreadable {
            warnings.push(format!("{reason}: {error}; the audio before that was decoded"));
        } else if matches!(end, Some(StreamEnd::CutOff)) && !is_live {
            let bytes = self.monitor.bytes_read();
            warnings.push(format!(
                "truncated: the file ends in the middle of a packet, after {decoded:.1} s and {bytes} \
                 bytes"
            ));
        }
        self.packets.append_warnings(&mut warnings);
        self.changes.append_to(&mut warnings, "the sample rate or the channels change");
        if let Some((since, frames)) = self.mixer.cancelled() {
            let rate = match self.mode {
                ChannelMode::Auto => crate::SAMPLE_RATE,
                ChannelMode::Mix | ChannelMode::Split => self.pcm.sample_rate.max(1),
            };
            let seconds = frames as f64 / f64::from(rate);
            warnings.push(format!(
                "the channels cancel each other out from {since:.1} s on, for {seconds:.1} s: the \
                 loudest one was taken instead of their average"
            ));
        }
        warnings.extend(self.log.as_ref().and_then(SharedLog::warning));
        if self.peak < SILENT {
            warnings.extend(tracks::silence_warning(&self.tracks, self.track));
        }
        if self.not_finite > 0 {
            warnings.push(format!("{} samples were not finite and became zero", self.not_finite));
        }
        self.report.warnings = warnings;
        Ok(())
    }
}

/// Keeps the channels of `pcm` apart in `planes`. If there are fewer, the others are silent; if there
/// are more, the last one is the mix of the rest.
fn split(pcm: &mut Pcm, planes: &mut [Vec<f32>], mixer: &mut Mixer, at: f64) {
    let frames = pcm.frames();
    let rest = pcm.planes.len().saturating_sub(planes.len());
    if rest > 0
        && let Some((last, _)) = planes.split_last_mut()
    {
        let mixed = pcm.planes.split_off(pcm.planes.len() - rest - 1);
        mixer.mix(&mixed, pcm.sample_rate, at, last);
        pcm.planes.push(std::mem::take(last));
    }
    for (n, plane) in planes.iter_mut().enumerate() {
        match pcm.planes.get_mut(n) {
            Some(decoded) => std::mem::swap(plane, decoded),
            None => {
                plane.clear();
                plane.resize(frames, 0.0);
            }
        }
    }
}

/// A track without a sample of this size is silent: -60 dB of full scale.
const SILENT: f32 = 0.001;

/// A recording may be shorter than its header declares by this many seconds and still be complete,
/// because headers include the frames that encoders add before and after the audio.
const TOLERATED_SECONDS: f64 = 0.1;

/// A recording is truncated if it lacks more than this many seconds and more than
/// [`MISSING_SHARE`] of the declared duration. If it lacks less, there is only a warning.
const MISSING_SECONDS: f64 = 0.5;
const MISSING_SHARE: f64 = 0.01;

fn check_duration(seconds: f64, limits: &Limits) -> Result<(), Error> {
    let limit = limits.max_duration.as_secs_f64();
    if seconds <= limit {
        return Ok(());
    }
    let (actual, limit) = (format!("{seconds:.0} s or more"), format!("{limit:.0} s"));
    Err(Error::LimitExceeded { quantity: "the duration", actual, limit })
}
