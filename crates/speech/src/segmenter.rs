//! From a stream of PCM to segments of speech no longer than a recognizer takes.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    features::{FRAME_SHIFT, sane},
    recognizer::Error,
    vad::{Boundary, Frame, FsmnVad, VadOptions, VadStream},
};

/// Samples and frames per second.
const SAMPLE_RATE: f64 = 16_000.0;
const FRAME_RATE: f64 = SAMPLE_RATE / FRAME_SHIFT as f64;
/// A place to cut is judged by so many frames before and after it: as long as the pause between two
/// words of fluent speech.
const CUT_CONTEXT: u64 = 10;
/// So many frames beyond the limit at most a segment may prove to have ended before it.
const PATIENCE: u64 = 100;
/// A frame that certainly is silence counts as so much quieter, in dB: the network tells a breath
/// from a soft consonant, and a pause in noise.
const SILENCE_BONUS_DB: f32 = 20.0;
/// Mean power that counts as digital silence: -100 dB.
const SILENT_POWER: f32 = 1e-10;
/// `max_seconds` where nobody sets it.
const USUAL_SECONDS: f64 = 30.0;
/// Shortest and longest `max_seconds`.
const MAX_SECONDS: Range<f64> = 1.0..3600.0;

/// A stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Sample index (16 kHz) in the recording where it starts.
    pub start: u64,
    pub samples: Vec<f32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Unless it is set, `vad.max_segment_ms` is without limit here: the segmenter cuts better.
    pub vad: VadOptions,
    /// Longest segment, in seconds (1 to 3600). Longer speech is cut at its quietest point.
    /// Unless it is set, what the recognizer takes (Whisper and SenseVoice 30, Paraformer 60).
    #[serde(deserialize_with = "max_seconds")]
    pub max_seconds: Option<f64>,
}

fn max_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(value) if !(MAX_SECONDS.start..=MAX_SECONDS.end).contains(&value) => {
            let (least, most) = (MAX_SECONDS.start, MAX_SECONDS.end);
            Err(D::Error::custom(format!("{value} seconds are not between {least} and {most}")))
        }
        value => Ok(value),
    }
}

/// Cuts one stream of PCM into segments. It holds the audio of the open segment and a few seconds
/// more, however long the stream.
pub struct Segmenter {
    vad: VadStream,
    max_frames: u64,
    /// Frames to wait beyond `max_frames`: the end of a segment becomes known only after it.
    patience: u64,
    history: History,
    open: Option<Open>,
    /// Frames on their way from `vad`.
    frames: Vec<Frame>,
}

/// A segment whose end is not known.
#[derive(Clone, Copy)]
struct Open {
    /// First frame.
    start: u64,
    /// `true` if it is the rest of one that was cut.
    rest: bool,
}

impl Segmenter {
    /// `options.max_seconds` is brought into its bounds.
    pub fn new(vad: Arc<FsmnVad>, mut options: Options) -> Self {
        options.vad.max_segment_ms.get_or_insert(u32::MAX);
        // `clamp` would let a NaN through.
        #[allow(clippy::manual_clamp)]
        let max_seconds = options.max_seconds.unwrap_or(USUAL_SECONDS);
        let max_seconds = max_seconds.clamp(MAX_SECONDS.start, MAX_SECONDS.end);
        let vad = vad.stream(&options.vad);
        Self {
            patience: vad.end_lag().clamp(CUT_CONTEXT, PATIENCE),
            vad,
            max_frames: (max_seconds * FRAME_RATE) as u64,
            history: History::default(),
            open: None,
            frames: Vec::new(),
        }
    }

    /// Takes samples (16 kHz, full scale 1.0; what is not finite counts as silence), and appends
    /// the segments that are complete to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<Segment>) -> Result<(), Error> {
        for block in samples.chunks(SAMPLE_RATE as usize) {
            self.history.samples.extend(block.iter().map(|&sample| sane(sample)));
            self.vad.push(block, &mut self.frames)?;
            self.take_frames(out);
            self.history.forget_before(self.open.map_or(self.vad.earliest_start(), |o| o.start));
        }
        Ok(())
    }

    /// Ends the stream: appends what is left to `out`.
    pub fn finish(&mut self, out: &mut Vec<Segment>) -> Result<(), Error> {
        let end = self.vad.finish(&mut self.frames)?;
        self.take_frames(out);
        if let Some(boundary) = end {
            self.take_boundary(boundary, out);
        }
        Ok(())
    }

    /// Samples held.
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
                && self.history.end_frame() > open.start + self.max_frames + self.patience
            {
                self.cut(open, out);
            }
        }
        self.frames = frames;
    }

    fn take_boundary(&mut self, boundary: Boundary, out: &mut Vec<Segment>) {
        match boundary {
            Boundary::Start(start) => self.open = Some(Open { start, rest: false }),
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
    fn cut(&mut self, open: Open, out: &mut Vec<Segment>) {
        let latest = open.start + self.max_frames;
        let cut = self.history.quietest(latest - self.max_frames / 3..latest);
        if !(open.rest && self.history.is_silent(open.start..cut)) {
            out.push(self.history.segment(open.start..cut));
        }
        self.open = Some(Open { start: cut, rest: true });
    }
}

/// What is remembered of the stream.
#[derive(Default)]
struct History {
    /// The frame with which both of these start.
    first: u64,
    samples: VecDeque<f32>,
    /// Silence probability per frame; fewer than there are samples.
    silence: VecDeque<f32>,
}

impl History {
    /// The first frame that is not decided.
    fn end_frame(&self) -> u64 {
        self.first + self.silence.len() as u64
    }

    fn forget_before(&mut self, frame: u64) {
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

    /// `true` if nobody speaks in any of these frames.
    fn is_silent(&self, frames: Range<u64>) -> bool {
        self.silence.range(self.index(frames)).all(|&silence| silence >= 0.5)
    }

    /// The frame in `candidates` before which it is most quiet; the last of several.
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

    /// Power in dB, less a bonus for silence.
    fn loudness(&self, frame: u64) -> f32 {
        let samples = self.samples.range(self.samples_of(frame..frame + 1));
        let power = samples.map(|x| x * x).sum::<f32>() / FRAME_SHIFT as f32;
        let silence = self.silence.range(self.index(frame..frame + 1)).sum::<f32>();
        10.0 * (power + SILENT_POWER).log10() - SILENCE_BONUS_DB * silence
    }

    /// Where frames lie in `silence`; what is not known is left out.
    fn index(&self, frames: Range<u64>) -> Range<usize> {
        let known =
            |frame: u64| (frame.saturating_sub(self.first) as usize).min(self.silence.len());
        known(frames.start)..known(frames.end)
    }

    fn samples_of(&self, frames: Range<u64>) -> Range<usize> {
        let known = |frame: u64| {
            (frame.saturating_sub(self.first) as usize * FRAME_SHIFT).min(self.samples.len())
        };
        known(frames.start)..known(frames.end)
    }
}
