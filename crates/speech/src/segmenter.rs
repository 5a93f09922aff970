//! Splits a stream of PCM into segments of speech no longer than the recognizer accepts.

use std::{
    collections::VecDeque,
    ops::{Range, RangeInclusive},
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    features::{FRAME_SHIFT, sane},
    recognizer::Error,
    vad::{Boundary, Frame, VadOptions, VadStream, VoiceActivityDetector},
};

/// Samples and frames per second.
const SAMPLE_RATE: f64 = 16_000.0;
const FRAME_RATE: f64 = SAMPLE_RATE / FRAME_SHIFT as f64;
/// Number of frames before and after a possible cut over which loudness is summed: about the length
/// of the pause between two words of fluent speech.
const CUT_CONTEXT: u64 = 10;
/// An open segment may exceed the limit by at most this many frames before it is cut, because the
/// detector reports an end point that late.
const MAX_OVERRUN: u64 = 100;
/// A frame that is certainly silent counts as this much quieter, in dB: the network distinguishes a
/// breath from a soft consonant, and finds pauses in noise.
const SILENCE_BONUS_DB: f32 = 20.0;
/// Mean power that counts as digital silence: -100 dB.
const SILENT_POWER: f32 = 1e-10;
/// Default of `max_seconds`.
const DEFAULT_MAX_SECONDS: f64 = 30.0;
/// Allowed values of `max_seconds`.
const MAX_SECONDS_RANGE: RangeInclusive<f64> = 1.0..=3600.0;

/// A span of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Index of the first sample (16 kHz) in the recording.
    pub start: u64,
    pub samples: Vec<f32>,
}

/// Configuration of segmentation: the section `[segmentation]` of the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentationConfig {
    /// Options of the detector. `vad.max_segment_ms` is unlimited here unless it is set, because the
    /// segmenter finds better points to cut.
    pub vad: VadOptions,
    /// Longest segment, in seconds (1 to 3600). Longer speech is cut at its quietest point. Defaults
    /// to the recognizer's maximum (Whisper and SenseVoice 30, Paraformer 60).
    #[serde(deserialize_with = "max_seconds")]
    pub max_seconds: Option<f64>,
}

fn max_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(value) if !MAX_SECONDS_RANGE.contains(&value) => {
            let (min, max) = (MAX_SECONDS_RANGE.start(), MAX_SECONDS_RANGE.end());
            Err(D::Error::custom(format!("{value} seconds are not between {min} and {max}")))
        }
        value => Ok(value),
    }
}

/// Splits one stream of PCM into segments. It holds the audio of the open segment and a few seconds
/// more, regardless of the length of the stream.
pub struct Segmenter {
    vad: Box<dyn VadStream>,
    max_frames: u64,
    /// Number of frames to wait beyond `max_frames`, because the end of a segment is reported late.
    overrun: u64,
    history: History,
    open: Option<OpenSegment>,
    /// Scratch buffer for the frames that `vad` returns.
    frames: Vec<Frame>,
}

/// A segment whose end is not known yet.
#[derive(Clone, Copy)]
struct OpenSegment {
    /// First frame.
    start: u64,
    /// `true` if this is the rest of a segment that was cut.
    rest: bool,
}

impl Segmenter {
    /// Starts a stream of `vad`. `config.max_seconds` is clamped to its allowed values; NaN becomes
    /// the default.
    pub fn new(vad: &dyn VoiceActivityDetector, mut config: SegmentationConfig) -> Self {
        config.vad.max_segment_ms.get_or_insert(u32::MAX);
        let max_seconds = config
            .max_seconds
            // `clamp` returns NaN for NaN.
            .filter(|seconds| !seconds.is_nan())
            .unwrap_or(DEFAULT_MAX_SECONDS)
            .clamp(*MAX_SECONDS_RANGE.start(), *MAX_SECONDS_RANGE.end());
        let vad = vad.stream(&config.vad);
        Self {
            overrun: vad.end_lag().clamp(CUT_CONTEXT, MAX_OVERRUN),
            vad,
            max_frames: (max_seconds * FRAME_RATE) as u64,
            history: History::default(),
            open: None,
            frames: Vec::new(),
        }
    }

    /// Takes samples (16 kHz, full scale 1.0; samples that are not finite count as silence), and
    /// appends the segments that are complete to `out`.
    ///
    /// # Errors
    /// Returns an error if the detector fails.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<Segment>) -> Result<(), Error> {
        for block in samples.chunks(SAMPLE_RATE as usize) {
            self.history.samples.extend(block.iter().map(|&sample| sane(sample)));
            self.vad.push(block, &mut self.frames)?;
            self.take_frames(out);
            self.history.discard_before(self.open.map_or(self.vad.earliest_start(), |o| o.start));
        }
        Ok(())
    }

    /// Ends the stream: appends the remaining segments to `out`.
    ///
    /// # Errors
    /// Returns an error if the detector fails.
    pub fn finish(&mut self, out: &mut Vec<Segment>) -> Result<(), Error> {
        let end = self.vad.finish(&mut self.frames)?;
        self.take_frames(out);
        if let Some(boundary) = end {
            self.take_boundary(boundary, out);
        }
        Ok(())
    }

    /// Returns the number of samples held.
    #[cfg(any(test, feature = "test-util"))]
    pub fn buffered_samples(&self) -> usize {
        self.history.samples.len()
    }

    fn take_frames(&mut self, out: &mut Vec<Segment>) {
        let mut frames = std::mem::take(&mut self.frames);
        for frame in frames.drain(..) {
            self.history.silence.push_back(frame.silence);
            if let Some(boundary) = frame.boundary {
                self.take_boundary(boundary, out);
            }
            if let Some(open) = self.open
                && self.history.end_frame() > open.start + self.max_frames + self.overrun
            {
                self.cut(open, out);
            }
        }
        self.frames = frames;
    }

    fn take_boundary(&mut self, boundary: Boundary, out: &mut Vec<Segment>) {
        match boundary {
            Boundary::Start(start) => self.open = Some(OpenSegment { start, rest: false }),
            Boundary::End(end) => {
                while let Some(open) = self.open
                    && end > open.start + self.max_frames
                {
                    self.cut(open, out);
                }
                if let Some(open) = self.open.take()
                    && !(open.rest && self.history.is_silent(open.start..end))
                {
                    out.push(self.history.segment(open.start..end));
                }
            }
        }
    }

    /// Emits the first part of an open segment that is longer than `max_frames`.
    fn cut(&mut self, open: OpenSegment, out: &mut Vec<Segment>) {
        let latest = open.start + self.max_frames;
        let cut = self.history.quietest(latest - self.max_frames / 3..latest);
        if !(open.rest && self.history.is_silent(open.start..cut)) {
            out.push(self.history.segment(open.start..cut));
        }
        self.open = Some(OpenSegment { start: cut, rest: true });
    }
}

/// Samples and silence probabilities of the stream that may still be needed.
#[derive(Default)]
struct History {
    /// Index of the frame at which both queues start.
    first: u64,
    samples: VecDeque<f32>,
    /// Silence probability of each frame that is decided, which is fewer frames than `samples` has.
    silence: VecDeque<f32>,
}

impl History {
    /// Returns the first frame that is not decided yet.
    fn end_frame(&self) -> u64 {
        self.first + self.silence.len() as u64
    }

    fn discard_before(&mut self, frame: u64) {
        let frames = (frame.saturating_sub(self.first) as usize)
            .min(self.silence.len())
            .min(self.samples.len() / FRAME_SHIFT);
        self.silence.drain(..frames);
        self.samples.drain(..frames * FRAME_SHIFT);
        self.first += frames as u64;
    }

    fn segment(&self, frames: Range<u64>) -> Segment {
        Segment {
            start: frames.start * FRAME_SHIFT as u64,
            samples: self.samples.range(self.samples_of(frames)).copied().collect(),
        }
    }

    /// Returns whether all of `frames` are silent.
    fn is_silent(&self, frames: Range<u64>) -> bool {
        self.silence.range(self.index(frames)).all(|&silence| silence >= 0.5)
    }

    /// Returns the frame in `candidates` with the quietest surroundings, the last one of equals.
    fn quietest(&self, candidates: Range<u64>) -> u64 {
        let from = candidates.start.saturating_sub(CUT_CONTEXT);
        let to = (candidates.end + CUT_CONTEXT).min(self.end_frame());
        let loudness: Vec<f32> = (from..to).map(|frame| self.loudness(frame)).collect();
        let context = loudness.windows(2 * CUT_CONTEXT as usize);
        let sums = context.map(|window| window.iter().sum::<f32>());
        (from + CUT_CONTEXT..)
            .zip(sums)
            .min_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)))
            .map_or(candidates.end, |(frame, _)| frame)
    }

    /// Returns the power of a frame in dB, less the bonus for silence.
    fn loudness(&self, frame: u64) -> f32 {
        let samples = self.samples.range(self.samples_of(frame..frame + 1));
        let power = samples.map(|x| x * x).sum::<f32>() / FRAME_SHIFT as f32;
        let silence = self.silence.range(self.index(frame..frame + 1)).sum::<f32>();
        10.0 * (power + SILENT_POWER).log10() - SILENCE_BONUS_DB * silence
    }

    /// Maps frames to indices of `silence`, leaving out frames that are not there.
    fn index(&self, frames: Range<u64>) -> Range<usize> {
        let known =
            |frame: u64| (frame.saturating_sub(self.first) as usize).min(self.silence.len());
        known(frames.start)..known(frames.end)
    }

    /// Maps frames to indices of `samples`, leaving out frames that are not there.
    fn samples_of(&self, frames: Range<u64>) -> Range<usize> {
        let known = |frame: u64| {
            (frame.saturating_sub(self.first) as usize * FRAME_SHIFT).min(self.samples.len())
        };
        known(frames.start)..known(frames.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vad::EnergyVad;

    #[test]
    fn max_seconds_is_clamped_and_nan_is_the_default() {
        for (max_seconds, frames) in [
            (None, 3000),
            (Some(f64::NAN), 3000),
            (Some(0.0), 100),
            (Some(20.0), 2000),
            (Some(f64::INFINITY), 360_000),
        ] {
            let config = SegmentationConfig { max_seconds, ..Default::default() };
            assert_eq!(Segmenter::new(&EnergyVad, config).max_frames, frames, "{max_seconds:?}");
        }
    }
}
