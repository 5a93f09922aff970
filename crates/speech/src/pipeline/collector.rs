//! Second step: sends windows to the compute pool and collects the results of each channel.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use transcript::Segment;

use super::{
    Error, Pipeline, Progress, Session, TranscribeOptions,
    place::place_all,
    task::{CompletedWindow, WindowResult, WindowTask},
};
use crate::{recognizer::RecognizeOptions, speakers::Embedding, window::Window};

/// Longest time for which an interruption goes unnoticed while windows are being recognized.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);

/// The windows of one recording that are in the compute pool, and the results so far.
pub(super) struct Collector<'a> {
    pipeline: &'a Pipeline,
    options: &'a TranscribeOptions,
    session: &'a Arc<Session>,
    hotwords: Arc<[String]>,
    results: (mpsc::Sender<CompletedWindow>, mpsc::Receiver<CompletedWindow>),
    /// Number of windows in the pool.
    in_flight: usize,
    /// Ends of the windows in the pool, in seconds, by window number.
    pending_ends: BTreeMap<usize, f64>,
    /// Number of windows submitted.
    windows: usize,
    pub(super) channels: Vec<ChannelResult>,
    /// CPU seconds so far.
    pub(super) recognize_seconds: f64,
    pub(super) speakers_seconds: f64,
}

/// Results of one channel.
#[derive(Default)]
pub(super) struct ChannelResult {
    /// Language of the channel, once it is known.
    language: Option<String>,
    /// As recognized, in the order in which they came from the pool.
    pub(super) segments: Vec<Segment>,
    pub(super) embeddings: Vec<Embedding>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        decoder: &audio::Decoder,
        options: &'a TranscribeOptions,
        session: &'a Arc<Session>,
    ) -> Self {
        let channels = (0..decoder.output_channels())
            .map(|_| ChannelResult {
                language: options.language.clone(),
                ..ChannelResult::default()
            })
            .collect();
        Self {
            pipeline,
            options,
            session,
            hotwords: pipeline.hotwords(options),
            results: mpsc::channel(),
            in_flight: 0,
            pending_ends: BTreeMap::new(),
            windows: 0,
            channels,
            recognize_seconds: 0.0,
            speakers_seconds: 0.0,
        }
    }

    /// Sends a window to the pool. Waits first while the pool holds one window more than it has
    /// cores: the extra window keeps the next free core busy.
    pub(super) fn submit(&mut self, channel: usize, window: Window) -> Result<(), Error> {
        // Windows go one by one until the language of the channel is known: it must not depend on
        // the window that happens to be recognized first.
        let detects_language = self.pipeline.models.recognizer.keeps_language()
            && self.channels[channel].language.is_none();
        while self.in_flight > self.pipeline.compute.width() {
            self.receive()?;
        }
        self.pending_ends.insert(self.windows, window.recording_end());
        // A hypothesis over a pause is split between its words.
        let word_times = self.options.has_word_times() || window.has_long_pause();
        let task = WindowTask {
            number: self.windows,
            channel,
            window,
            options: RecognizeOptions {
                language: self.channels[channel].language.clone(),
                hotwords: Arc::clone(&self.hotwords),
                prompt: self.options.prompt.clone(),
                translate: self.options.translate,
                word_times,
                normalize: self.pipeline.normalizes(self.options),
            },
            recognizer: Arc::clone(&self.pipeline.models.recognizer),
            diarizer: self.pipeline.diarizer(self.options).cloned(),
            session: Arc::clone(self.session),
            results: self.results.0.clone(),
        };
        self.windows += 1;
        self.in_flight += 1;
        self.pipeline.compute.spawn(self.session.owner(), Box::new(move || task.run()));
        if detects_language {
            while self.receive_next()? {}
        }
        Ok(())
    }

    /// Waits for the next result. Returns `false` if no window is in the pool.
    pub(super) fn receive_next(&mut self) -> Result<bool, Error> {
        if self.in_flight == 0 {
            return Ok(false);
        }
        self.receive()?;
        Ok(true)
    }

    fn receive(&mut self) -> Result<(), Error> {
        let completed = loop {
            match self.results.1.recv_timeout(INTERRUPT_POLL) {
                Ok(completed) => break completed,
                Err(_) => self.session.check()?,
            }
        };
        self.in_flight -= 1;
        self.pending_ends.remove(&completed.number);
        self.recognize_seconds += completed.recognize_seconds;
        self.speakers_seconds += completed.speakers_seconds;
        let WindowResult { hypotheses, language, text_language, embeddings } = completed.result?;
        let channel = &mut self.channels[completed.channel];
        if channel.language.is_none() && self.pipeline.models.recognizer.keeps_language() {
            channel.language.clone_from(&language);
        }
        channel.embeddings.extend(embeddings);
        channel.segments.extend(place_all(hypotheses, &completed.window, text_language.as_ref()));
        Ok(())
    }

    /// Returns the progress, given the decoder's report so far.
    pub(super) fn progress(&self, report: &audio::Report) -> Progress {
        let seconds = self.pending_ends.values().copied().fold(report.duration, f64::min);
        // Audio that was decoded but waits for the recognizer does not count.
        let share = if report.duration > 0.0 { seconds / report.duration } else { 1.0 };
        let bytes = (report.bytes_read as f64 * share) as u64;
        Progress { seconds, bytes }
    }
}
