use std::time::Duration;

use symphonia::core::io::MediaSource;

use crate::Error;
use crate::container;
use crate::packets::{End, Packets, Pcm};
use crate::resample::Resampler;
use crate::source::{Source, Witness};

/// How the channels of a recording become streams of PCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMode {
    /// All channels averaged into one.
    Mix,
    /// Each channel on its own.
    Split,
}

/// What a recording may cost before it is refused.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Size of the file, where it is known in advance, and bytes read from it.
    pub max_bytes: u64,
    pub max_duration: Duration,
    pub max_channels: usize,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub limits: Limits,
    pub channels: ChannelMode,
    /// Take what is there of a recording that ends before its header says, instead of refusing it.
    pub allow_truncated: bool,
}

/// What the container says of the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// Short lower-case name: `wav`, `flac`, `mp3`, `ogg`, `webm`, `mp4`, ...
    pub container: String,
    /// Short lower-case name: `pcm_s16le`, `flac`, `mp3`, `vorbis`, `opus`, `aac`, ...
    pub codec: String,
    pub sample_rate: u32,
    /// Channels in the file (not in the output).
    pub channels: usize,
    /// Seconds, if the container declares a length.
    pub declared_duration: Option<f64>,
}

/// 16 kHz PCM in [-1, 1]: one vector per output channel, all of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    pub channels: Vec<Vec<f32>>,
}

/// What was found on the way; complete once [`Decoder::next_block`] has returned `false`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Seconds of audio decoded.
    pub duration: f64,
    pub bytes_read: u64,
    /// Damaged packets that were skipped, samples that were not finite and became zero, a header
    /// that disagrees with the file: sentences for the transcript.
    pub warnings: Vec<String>,
}

/// A recording being decoded, a block at a time, in memory that does not grow with its length.
pub struct Decoder {
    info: Info,
    report: Report,
    limits: Limits,
    mode: ChannelMode,
    allow_truncated: bool,
    packets: Packets,
    witness: Witness,
    resampler: Resampler,
    /// As decoded, and with the channels as they go out.
    pcm: Pcm,
    planes: Vec<Vec<f32>>,
    /// Seconds before the last change of the sample rate, and frames since.
    seconds_before: f64,
    frames: u64,
    not_finite: u64,
    finished: bool,
}

impl Decoder {
    /// Detects the format by content and reads the headers. Bytes are read forward only, unless
    /// the container is MP4, CAF or AIFF, whose index may stand at the end.
    pub fn open(source: Box<dyn MediaSource>, options: &Options) -> Result<Self, Error> {
        let source = Source::open(source, options.limits.max_bytes)?;
        let witness = source.witness();
        let limits = options.limits.clone();
        let opened = container::open(source, limits.max_channels);
        // What symphonia made of a failed read does not matter.
        if let Some(failure) = witness.take_failure() {
            return Err(failure.into());
        }
        let (packets, info) = opened?;
        if let Some(declared) = info.declared_duration {
            check_duration(declared, &limits)?;
        }
        let channels = match options.channels {
            ChannelMode::Mix => 1,
            ChannelMode::Split => info.channels,
        };
        Ok(Decoder {
            resampler: Resampler::new(info.sample_rate, channels)?,
            planes: vec![Vec::new(); channels],
            report: Report { bytes_read: witness.bytes_read(), ..Report::default() },
            info,
            limits,
            mode: options.channels,
            allow_truncated: options.allow_truncated,
            packets,
            witness,
            pcm: Pcm::default(),
            seconds_before: 0.0,
            frames: 0,
            not_finite: 0,
            finished: false,
        })
    }

    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Number of vectors in each block: 1 for [`ChannelMode::Mix`].
    pub fn output_channels(&self) -> usize {
        self.planes.len()
    }

    /// Fills `block` (whose buffers are reused) with the next PCM, a second or so of it. `false` at
    /// the end of the recording.
    ///
    /// # Errors
    /// Those that only the whole recording shows, [`Error::Truncated`] and [`Error::Corrupt`], come
    /// instead of its last block.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, Error> {
        block.channels.resize_with(self.output_channels(), Vec::new);
        for channel in &mut block.channels {
            channel.clear();
        }
        while !self.finished && block.channels[0].len() < crate::SAMPLE_RATE as usize {
            if self.packets.next(&mut self.pcm)? {
                self.take_pcm(block)?;
            } else {
                self.finished = true;
                self.resampler.finish(&mut block.channels)?;
                self.conclude()?;
            }
        }
        for sample in block.channels.iter_mut().flatten() {
            *sample = sample.clamp(-1.0, 1.0);
        }
        self.report.bytes_read = self.witness.bytes_read();
        Ok(!block.channels[0].is_empty())
    }

    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Passes what was decoded through the channel mode and the resampler into `block`.
    fn take_pcm(&mut self, block: &mut Block) -> Result<(), Error> {
        let rate = self.pcm.sample_rate;
        if rate != self.resampler.sample_rate() {
            self.resampler.finish(&mut block.channels)?;
            self.resampler = Resampler::new(rate, self.output_channels())?;
            self.seconds_before = self.report.duration;
            self.frames = 0;
            self.report.warnings.push(format!(
                "the sample rate changes to {rate} Hz after {:.1} s",
                self.report.duration
            ));
        }
        self.frames += self.pcm.frames() as u64;
        self.report.duration = self.seconds_before + self.frames as f64 / f64::from(rate);
        check_duration(self.report.duration, &self.limits)?;

        for sample in self.pcm.planes.iter_mut().flatten() {
            if !sample.is_finite() {
                *sample = 0.0;
                self.not_finite += 1;
            }
            // Room for what codecs overshoot; but the Fourier transforms of the resampler must not
            // run into infinity.
            *sample = sample.clamp(-16.0, 16.0);
        }
        match self.mode {
            ChannelMode::Mix => mix(&self.pcm.planes, &mut self.planes[0]),
            ChannelMode::Split if self.pcm.planes.len() == self.planes.len() => {
                std::mem::swap(&mut self.planes, &mut self.pcm.planes);
            }
            ChannelMode::Split => {
                return Err(Error::Corrupt(format!(
                    "the number of channels changes from {} to {} after {:.1} s, so they cannot \
                     be told apart",
                    self.planes.len(),
                    self.pcm.planes.len(),
                    self.report.duration
                )));
            }
        }
        self.resampler.push(&self.planes, &mut block.channels)
    }

    /// Judges the recording at its end.
    fn conclude(&mut self) -> Result<(), Error> {
        let (damage, end) = (self.packets.damage(), self.packets.end());
        let decoded = self.report.duration;
        // The duration in a Matroska header is that of the longest track: a short audio track
        // beside a longer video is whole.
        let may_be_shorter = matches!(self.info.container.as_str(), "mkv" | "webm");
        let expected =
            self.info.declared_duration.filter(|_| !(may_be_shorter && end == Some(&End::Whole)));
        // A browser's recording, say, whose only end is that of the file.
        let is_live = may_be_shorter && expected.is_none();
        let short = expected.filter(|declared| declared - decoded > TOLERATED_SECONDS);
        let truncated = short.filter(|declared| {
            let missing = declared - decoded;
            decoded == 0.0 || missing > MISSING_SECONDS && missing > MISSING_SHARE * declared
        });
        let is_complete = expected.is_some() && short.is_none();
        let corrupt = damage
            .is_corrupt()
            .then(|| format!("{} of {} packets cannot be decoded", damage.damaged, damage.packets));
        let broken = match end {
            // What follows a whole recording is none of it: tags, padding.
            Some(End::Broken(_)) if is_complete => None,
            Some(End::Broken(why)) => Some(format!("unreadable after {decoded:.1} s: {why}")),
            _ => None,
        };

        if let Some(why) = corrupt {
            return Err(Error::Corrupt(why));
        }
        if !self.allow_truncated || decoded == 0.0 {
            if let Some(declared) = truncated {
                return Err(Error::Truncated { declared, decoded });
            }
            if let Some(why) = broken {
                return Err(Error::Corrupt(why));
            }
        }
        let warnings = &mut self.report.warnings;
        if let Some(declared) = short {
            let error = Error::Truncated { declared, decoded };
            warnings.push(format!("{error}; what is there was taken"));
        } else if let Some(why) = broken {
            warnings.push(format!("{why}; what came before was taken"));
        } else if end == Some(&End::CutOff) && !damage.chained && !is_live {
            warnings.push("truncated: the file ends in the middle of a packet".into());
        }
        if damage.has_surplus() {
            warnings.push("the recording goes on after the length that its header gives".into());
        }
        if damage.damaged > 0 {
            warnings.push(format!(
                "{} of {} packets are damaged and were replaced by silence",
                damage.damaged, damage.packets
            ));
        }
        if self.not_finite > 0 {
            warnings.push(format!("{} samples were not finite and became zero", self.not_finite));
        }
        Ok(())
    }
}

/// A recording that is shorter than its header says by no more than this is whole: headers count
/// what encoders put before and after the sound.
const TOLERATED_SECONDS: f64 = 0.1;

/// It is truncated if more than both of these are missing; in between, a warning says so.
const MISSING_SECONDS: f64 = 0.5;
const MISSING_SHARE: f64 = 0.01;

fn check_duration(seconds: f64, limits: &Limits) -> Result<(), Error> {
    let limit = limits.max_duration.as_secs_f64();
    if seconds <= limit {
        return Ok(());
    }
    let (actual, limit) = (format!("{seconds:.0} s or more"), format!("{limit:.0} s"));
    Err(Error::LimitExceeded { what: "the duration", actual, limit })
}

/// The average of `planes`.
fn mix(planes: &[Vec<f32>], out: &mut Vec<f32>) {
    out.clear();
    let Some((first, rest)) = planes.split_first() else { return };
    out.extend_from_slice(first);
    for plane in rest {
        for (out, sample) in out.iter_mut().zip(plane) {
            *out += sample;
        }
    }
    if !rest.is_empty() {
        let scale = 1.0 / planes.len() as f32;
        out.iter_mut().for_each(|sample| *sample *= scale);
    }
}
