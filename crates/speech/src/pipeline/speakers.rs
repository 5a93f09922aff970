//! The diarization of the channels of a recording, beside their recognition.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Error, Pipeline, Session, TaskKey, TaskResult, TranscribeOptions,
    journal::{TaskInput, TaskOutput},
    task::{SpeakersTask, Tasks},
};
use crate::{
    speakers::{Diarization, Diarizer, SpeakerOptions, Stream, Work},
    window::Window,
};

/// The diarization of one recording.
pub(super) struct Speakers<'a> {
    diarizer: &'a Arc<Diarizer>,
    options: &'a SpeakerOptions,
    /// Number of the audio track, and the program that decodes it instead of this one.
    source: (usize, Option<String>),
    streams: Vec<Stream>,
    tasks: Tasks<SpeakersTask>,
    /// Work of channels that no task was made of yet.
    queue: VecDeque<(usize, Work)>,
    /// CPU seconds of all tasks so far, including those that were recalled.
    pub(super) seconds: f64,
}

impl<'a> Speakers<'a> {
    /// Begins the diarization, if the options ask for one.
    pub(super) fn new(
        pipeline: &'a Pipeline,
        decoder: &audio::Decoder,
        options: &'a TranscribeOptions,
        session: &Arc<Session>,
    ) -> Option<Self> {
        let (diarizer, options) = (pipeline.diarizer(options)?, options.speakers.as_ref()?);
        Some(Self {
            diarizer,
            options,
            source: (decoder.audio_track(), decoder.info().decoder.clone()),
            streams: (0..decoder.output_channels()).map(|_| diarizer.stream()).collect(),
            tasks: Tasks::new(&pipeline.compute, session),
            queue: VecDeque::new(),
            seconds: 0.0,
        })
    }

    /// Takes the next samples of all channels.
    pub(super) fn push(&mut self, channels: &[Vec<f32>]) -> Result<(), Error> {
        for (channel, (stream, samples)) in self.streams.iter_mut().zip(channels).enumerate() {
            let mut work = Vec::new();
            stream.push(samples, &mut work);
            self.queue.extend(work.into_iter().map(|work| (channel, work)));
        }
        while let Some(completed) = self.tasks.try_receive() {
            self.accept(completed.task.channel, &completed.task.work, completed.result?);
        }
        self.spawn_all()
    }

    /// Takes the speech of a window, for diarizers that do not find it on their own.
    pub(super) fn push_speech(&mut self, channel: usize, window: &Window) -> Result<(), Error> {
        let mut work = Vec::new();
        for (start, samples) in window.ranges().into_iter().zip(window.pieces()) {
            self.streams[channel].push_speech(start.0, samples.1, &mut work);
        }
        self.queue.extend(work.into_iter().map(|work| (channel, work)));
        self.spawn_all()
    }

    /// Ends the channels, and waits for all results.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        for (channel, stream) in self.streams.iter_mut().enumerate() {
            let mut work = Vec::new();
            stream.finish(&mut work);
            self.queue.extend(work.into_iter().map(|work| (channel, work)));
        }
        self.spawn_all()?;
        while self.receive()? {
            self.spawn_all()?;
        }
        Ok(())
    }

    /// Returns who speaks when in a channel, after [`Self::finish`].
    pub(super) fn diarize(&self, channel: usize) -> Diarization {
        self.diarizer.diarize(&self.streams[channel], self.options)
    }

    /// Sends all work that waits to the pool, and waits while that is full.
    fn spawn_all(&mut self) -> Result<(), Error> {
        while let Some((channel, work)) = self.queue.pop_front() {
            let key = self.key(channel, &work);
            if let Some(result) = self.tasks.recall(&key) {
                self.accept(channel, &work, result);
                continue;
            }
            while self.tasks.is_full() {
                self.receive()?;
            }
            let diarizer = Arc::clone(self.diarizer);
            self.tasks.spawn(SpeakersTask { channel, work, diarizer }, key);
        }
        Ok(())
    }

    /// Waits for the next result. Returns `false` if no task is in the pool.
    fn receive(&mut self) -> Result<bool, Error> {
        let Some(completed) = self.tasks.receive()? else { return Ok(false) };
        self.accept(completed.task.channel, &completed.task.work, completed.result?);
        Ok(true)
    }

    /// Takes a result. The work that follows from it waits.
    fn accept(&mut self, channel: usize, done: &Work, result: TaskResult) {
        self.seconds += result.seconds;
        if let TaskOutput::Speakers(output) = result.output {
            let mut work = Vec::new();
            self.streams[channel].accept(done.key(), output, &mut work);
            self.queue.extend(work.into_iter().map(|work| (channel, work)));
        }
    }

    fn key(&self, channel: usize, work: &Work) -> TaskKey {
        let (track, decoder) = self.source.clone();
        TaskKey {
            track,
            decoder,
            channels: self.streams.len(),
            channel,
            input: TaskInput::Speakers(work.key().clone()),
        }
    }
}
