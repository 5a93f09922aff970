//! Second step: sends windows to the compute pool and collects the results of each channel.

use std::{collections::BTreeMap, mem, sync::Arc};

use transcript::Segment;

use super::{
    Error, Pipeline, Progress, Session, TaskKey, TaskResult, TranscribeOptions,
    foreign::Certainty,
    journal::{TaskInput, TaskOutput},
    place::place_all,
    task::{Tasks, WindowTask},
};
use crate::{recognizer::RecognizeOptions, window::Window};

/// The windows of one recording that are in the compute pool, and the results so far.
pub(super) struct Collector<'a> {
    pipeline: &'a Pipeline,
    options: &'a TranscribeOptions,
    session: &'a Arc<Session>,
    /// Number of the audio track, and the program that decodes it instead of this one.
    source: (usize, Option<String>),
    hotwords: Arc<[String]>,
    tasks: Tasks<WindowTask>,
    /// Ends of the windows in the pool, in seconds, by window number.
    pending_ends: BTreeMap<usize, f64>,
    /// Number of windows submitted.
    windows: usize,
    /// Channels of the windows whose results wait for those of earlier ones, by window number: the listener
    /// gets them in order.
    unreported: BTreeMap<usize, usize>,
    /// Number of the next window for the listener.
    next_reported: usize,
    pub(super) channels: Vec<ChannelResult>,
    /// CPU seconds of all windows so far, including those that were recalled: what they took when they
    /// were computed.
    pub(super) recognize_seconds: f64,
}

/// Results of one channel.
#[derive(Default)]
pub(super) struct ChannelResult {
    /// Language of the channel, once it is known.
    language: Option<String>,
    /// What was recognized in each window, by its number: the transcript must not depend on the order in
    /// which windows come from the pool.
    windows: BTreeMap<usize, Vec<Segment>>,
    /// How sure the recognizer is of its text.
    certainty: Certainty,
}

impl ChannelResult {
    /// Takes the segments, in the order of the windows.
    pub(super) fn take(&mut self) -> Vec<Segment> {
        mem::take(&mut self.windows).into_values().flatten().collect()
    }
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
            source: (decoder.audio_track(), decoder.info().decoder.clone()),
            hotwords: pipeline.hotwords(options),
            tasks: Tasks::new(&pipeline.compute, session),
            pending_ends: BTreeMap::new(),
            windows: 0,
            unreported: BTreeMap::new(),
            next_reported: 0,
            channels,
            recognize_seconds: 0.0,
        }
    }

    /// Sends a window to the pool, unless the journal recalls its result. Waits first while the pool
    /// holds one window more than it has cores: the extra window keeps the next free core busy.
    pub(super) fn submit(&mut self, channel: usize, window: Window) -> Result<(), Error> {
        // A hypothesis over a pause is split between its words.
        let word_times = self.options.has_word_times() || window.has_long_pause();
        let number = self.windows;
        self.windows += 1;
        let key = self.key(channel, &window, word_times);
        if let Some(result) = self.tasks.recall(&key) {
            self.accept(number, channel, &window, result);
            return Ok(());
        }
        // Windows go one by one until the language of the channel is known: it must not depend on
        // the window that happens to be recognized first.
        let detects_language = self.pipeline.models.recognizer.keeps_language()
            && self.channels[channel].language.is_none();
        while self.tasks.is_full() {
            self.receive_next()?;
        }
        self.pending_ends.insert(number, window.recording_end());
        let task = WindowTask {
            number,
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
        };
        self.tasks.spawn(task, key);
        if detects_language {
            while self.receive_next()? {}
        }
        Ok(())
    }

    /// Waits for the next result. Returns `false` if no window is in the pool.
    pub(super) fn receive_next(&mut self) -> Result<bool, Error> {
        let Some(completed) = self.tasks.receive()? else { return Ok(false) };
        let WindowTask { number, channel, window, .. } = completed.task;
        self.pending_ends.remove(&number);
        self.accept(number, channel, &window, completed.result?);
        Ok(true)
    }

    /// Adds the result of a window to those of its channel.
    fn accept(&mut self, number: usize, channel: usize, window: &Window, result: TaskResult) {
        let TaskOutput::Window(of_window) = result.output else { return };
        self.recognize_seconds += result.seconds;
        self.unreported.insert(number, channel);
        let channel = &mut self.channels[channel];
        if channel.language.is_none() && self.pipeline.models.recognizer.keeps_language() {
            channel.language.clone_from(&of_window.language);
        }
        channel.certainty.add(&of_window.hypotheses);
        let segments = place_all(of_window.hypotheses, window, of_window.text_language.as_ref());
        channel.windows.insert(number, segments);
        self.report_to_listener();
    }

    /// Sends the listener the windows whose turn it is.
    fn report_to_listener(&mut self) {
        while let Some(channel) = self.unreported.remove(&self.next_reported) {
            let segments = self.channels[channel].windows.get(&self.next_reported);
            if let (Some(listener), Some(segments)) = (self.session.listener(), segments) {
                let channel = (self.channels.len() > 1).then_some(channel);
                listener.on_segments(channel, segments);
            }
            self.next_reported += 1;
        }
    }

    /// Returns a warning for each channel that is probably in a language that the recognizer does not
    /// know.
    pub(super) fn foreign_speech(&self) -> Vec<String> {
        let recognizer = &self.pipeline.models.recognizer;
        let split = self.channels.len() > 1;
        let warnings = self.channels.iter().enumerate().filter_map(|(index, channel)| {
            let warning = channel.certainty.warning(&**recognizer)?;
            Some(if split { format!("channel {}: {warning}", index + 1) } else { warning })
        });
        warnings.collect()
    }

    /// Returns what the result of a window depends on, besides the recording and the fingerprint.
    fn key(&self, channel: usize, window: &Window, word_times: bool) -> TaskKey {
        let (track, decoder) = self.source.clone();
        let language = self.channels[channel].language.clone();
        TaskKey {
            track,
            decoder,
            channels: self.channels.len(),
            channel,
            input: TaskInput::Window { pieces: window.ranges(), language, word_times },
        }
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
