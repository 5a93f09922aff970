//! The analysis of one channel while its samples come: which work there is for the networks, and what their
//! answers become.

use std::collections::BTreeMap;

use half::f16;

use super::{
    Diarization, SpeakerOptions,
    activity::{Evidence, turns},
    chunks::Chunks,
    cluster::cluster,
    frames::{
        CHUNK_FRAMES, CHUNK_SAMPLES, FRAME_SAMPLES, Span, first_sample, frame_from, frames_within,
    },
    held::Held,
    vectors::Vectors,
    votes::memberships,
    windows::{Cutter, windows_of},
    work::{Work, WorkKey, WorkResult},
};
use crate::speakers::encoder::{MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES};

/// Chunks per batch.
const CHUNK_BATCH: u32 = 8;
/// Windows per batch.
const WINDOW_BATCH: usize = 16;
/// Samples of a feature of the encoder, and from one to the next.
const FEATURE_WINDOW: u64 = MIN_WINDOW_SAMPLES as u64;
const FEATURE_SHIFT: u64 = 160;
/// Fewer features of a window than this say nothing of a voice.
const MIN_FEATURES: u64 = 12;

/// The analysis of one channel. Holds the samples that are still needed, about a minute, and of the rest a byte
/// per frame and chunk, and a vector of each window.
///
/// Results may come in any order; what becomes of them does not depend on it.
#[derive(Debug)]
pub struct Stream {
    /// Frames from one chunk to the next; `None` without a segmentation network.
    step: Option<u32>,
    samples: Held,
    /// Chunks that work was made of.
    next_chunk: u32,
    chunks: Chunks,
    cutter: Cutter,
    /// Speech that the voice activity detector found; used without a segmentation network.
    speech: Vec<Span>,
    windows: Vec<Span>,
    vectors: Vectors,
    /// Samples of windows that wait for a batch, the last ones of `windows`.
    batch: Vec<Vec<f32>>,
    /// Results that wait for earlier ones, by the number of their first chunk or window.
    early_chunks: BTreeMap<u32, Vec<u8>>,
    early_vectors: BTreeMap<u32, (usize, Vec<f16>)>,
    has_ended: bool,
}

impl Stream {
    /// Begins the analysis of a channel, with chunks every `step` frames, or with the speech that a voice activity
    /// detector finds.
    pub(super) fn new(step: Option<u32>) -> Self {
        Self {
            step,
            samples: Held::default(),
            next_chunk: 0,
            chunks: Chunks::new(step.unwrap_or(1)),
            cutter: Cutter::new(),
            speech: Vec::new(),
            windows: Vec::new(),
            vectors: Vectors::default(),
            batch: Vec::new(),
            early_chunks: BTreeMap::new(),
            early_vectors: BTreeMap::new(),
            has_ended: false,
        }
    }

    /// Takes the next samples, 16 kHz in [-1, 1), and appends the work that they complete.
    pub fn push(&mut self, samples: &[f32], work: &mut Vec<Work>) {
        let Some(step) = self.step else {
            self.samples.skip(samples.len());
            return;
        };
        self.samples.extend(samples);
        while self.samples.end() >= chunk_end(self.next_chunk + CHUNK_BATCH - 1, step) {
            work.push(self.next_chunks(CHUNK_BATCH, step));
        }
        self.forget();
    }

    /// Takes a segment of speech that begins with sample `start`, if there is no segmentation network.
    pub fn push_speech(&mut self, start: u64, samples: &[f32], work: &mut Vec<Work>) {
        if self.step.is_some() {
            return;
        }
        let piece =
            Span { start: frame_from(start), end: frame_from(start + samples.len() as u64) };
        self.speech.push(piece);
        let held = Held::new(start, samples.to_vec());
        windows_of(piece, |window| self.add_window(window, &held));
        self.flush(false, work);
    }

    /// Ends the samples. Work may still come from results.
    pub fn finish(&mut self, work: &mut Vec<Work>) {
        self.has_ended = true;
        if let Some(step) = self.step {
            let total = self.samples.end();
            let mut rest = 0;
            // The last chunk reaches the end; it is not all silence that is added.
            while self.next_chunk + rest == 0 || chunk_end(self.next_chunk + rest - 1, step) < total
            {
                rest += 1;
            }
            if total == 0 {
                rest = 0;
            }
            while rest > 0 {
                let count = rest.min(CHUNK_BATCH);
                work.push(self.next_chunks(count, step));
                rest -= count;
            }
        }
        self.advance(work);
    }

    /// Takes a result of this channel's work, and appends the work that follows from it. Results that do not fit
    /// their work must not come here.
    pub fn accept(&mut self, key: &WorkKey, result: WorkResult, work: &mut Vec<Work>) {
        match (key, result) {
            (WorkKey::Chunks { first, .. }, WorkResult::Chunks { frames }) => {
                self.early_chunks.insert(*first, frames);
                while let Some(frames) = self.early_chunks.remove(&self.chunks.len()) {
                    self.chunks.extend(&frames);
                }
                self.advance(work);
            }
            (WorkKey::Windows { first, .. }, WorkResult::Windows { width, vectors }) => {
                self.early_vectors.insert(*first, (width, vectors));
                let next = |vectors: &Vectors| vectors.len() as u32;
                while let Some((width, vectors)) = self.early_vectors.remove(&next(&self.vectors)) {
                    self.vectors.extend(width, &vectors);
                }
            }
            _ => debug_assert!(false, "a result of other work"),
        }
    }

    /// Returns who speaks when, once all results are there.
    pub(super) fn diarize(&self, options: &SpeakerOptions) -> Diarization {
        let windows = &self.windows[..self.vectors.len().min(self.windows.len())];
        let members: Vec<_> = if self.step.is_some() {
            windows.iter().map(|&window| memberships(&self.chunks, window)).collect()
        } else {
            Vec::new()
        };
        let clusters = cluster(windows, &self.vectors, &members, options);
        let frames = match self.step {
            Some(_) => frames_within(self.samples.end()),
            None => self.speech.last().map_or(0, |speech| speech.end),
        };
        let evidence = Evidence {
            chunks: &self.chunks,
            windows,
            vectors: &self.vectors,
            memberships: &members,
            speech: &self.speech,
            frames,
        };
        let (turns, order) = turns(&evidence, &clusters);
        let voices = order.iter().map(|&cluster| clusters.centres[cluster].clone()).collect();
        Diarization { turns, voices }
    }

    /// Returns the number of samples that are held.
    #[cfg(test)]
    pub(super) fn held_samples(&self) -> usize {
        self.samples.len()
    }

    fn next_chunks(&mut self, count: u32, step: u32) -> Work {
        let first = self.next_chunk;
        self.next_chunk += count;
        let start = chunk_start(first, step);
        let samples = self.samples.range(start, chunk_end(first + count - 1, step));
        let frames = frames_within(self.samples.end()).saturating_sub(first * step);
        // What lies beyond the last chunk does not matter: keys must not depend on how samples came.
        let frames = frames.min((count - 1) * step + CHUNK_FRAMES as u32);
        Work::Chunks { key: WorkKey::Chunks { first, count, frames }, samples, step }
    }

    /// Cuts windows of the chunks that are new.
    fn advance(&mut self, work: &mut Vec<Work>) {
        let is_complete = self.has_ended && self.chunks.len() == self.next_chunk;
        if self.step.is_some() {
            let mut found = Vec::new();
            self.cutter.advance(&self.chunks, is_complete, &mut found);
            let held = std::mem::take(&mut self.samples);
            for window in found {
                self.add_window(window, &held);
            }
            self.samples = held;
            self.forget();
        }
        self.flush(is_complete, work);
    }

    /// Adds a window of which `held` has the samples.
    fn add_window(&mut self, window: Span, held: &Held) {
        // Features whose middle lies in the window's own samples.
        let feature = |frame: u32| {
            let middle = first_sample(frame).saturating_sub(FEATURE_WINDOW / 2);
            middle.div_ceil(FEATURE_SHIFT)
        };
        let first = feature(window.start) * FEATURE_SHIFT;
        let first = first.max(held.start().next_multiple_of(FEATURE_SHIFT));
        let last = held.end().saturating_sub(FEATURE_WINDOW) / FEATURE_SHIFT + 1;
        let end = feature(window.end).min(last);
        let count = end.saturating_sub(first / FEATURE_SHIFT);
        if count < MIN_FEATURES {
            return;
        }
        let samples = (count - 1) * FEATURE_SHIFT + FEATURE_WINDOW;
        let samples = samples.min(MAX_WINDOW_SAMPLES as u64);
        self.windows.push(window);
        self.batch.push(held.range(first, first + samples));
    }

    /// Makes work of the windows that wait: of whole batches, or of all.
    fn flush(&mut self, all: bool, work: &mut Vec<Work>) {
        while self.batch.len() >= WINDOW_BATCH || (all && !self.batch.is_empty()) {
            let first = self.windows.len() - self.batch.len();
            let count = self.batch.len().min(WINDOW_BATCH);
            let windows: Vec<_> = self.batch.drain(..count).collect();
            let spans = self.windows[first..first + count].to_vec();
            let key = WorkKey::Windows { first: first as u32, spans };
            work.push(Work::Windows { key, windows });
        }
    }

    /// Forgets the samples that neither a chunk nor a window needs.
    fn forget(&mut self) {
        let Some(step) = self.step else { return };
        let window = first_sample(self.cutter.start()).saturating_sub(FEATURE_WINDOW);
        self.samples.forget_before(window.min(chunk_start(self.next_chunk, step)));
    }
}

fn chunk_start(chunk: u32, step: u32) -> u64 {
    u64::from(chunk) * u64::from(step) * FRAME_SAMPLES as u64
}

fn chunk_end(chunk: u32, step: u32) -> u64 {
    chunk_start(chunk, step) + CHUNK_SAMPLES as u64
}
