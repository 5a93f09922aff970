//! One recording's way from PCM to text: decode, voice activity, recognition.
//!
//! The calling thread decodes and finds speech; windows of speech go to the compute pool, a bounded
//! number at a time, so that memory does not grow with the recording.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use transcript::{Segment, Stage, Word};

use crate::{
    compute::{Compute, thread_cpu_seconds},
    recognizer::{self, Hypothesis, Recognizer},
    segmenter::{self, Segmenter},
    vad::FsmnVad,
    window::{Packer, Window},
};

/// Raised whenever the same recording may come out differently with the same models and options.
const REVISION: u32 = 1;
/// How long an interruption may go unnoticed while windows are being recognized.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);

/// The models and settings that turn recordings into text, shared by all recordings in flight.
pub struct Pipeline {
    vad: Arc<FsmnVad>,
    recognizer: Arc<dyn Recognizer>,
    segmentation: segmenter::Options,
    compute: Arc<dyn Compute>,
}

/// Per recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Language code; `None`: detected on each channel's first speech, if the model knows several.
    pub language: Option<String>,
}

/// Lets others watch and stop a recording.
#[derive(Debug, Default)]
pub struct Control {
    interrupted: AtomicBool,
    milliseconds: AtomicU64,
    bytes: AtomicU64,
}

/// How far a recording has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Seconds of the recording that are done with.
    pub seconds: f64,
    /// Bytes of the recording that are done with: what was read, less what waits to be recognized.
    pub bytes: u64,
}

/// What a recording became.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In order of start.
    pub segments: Vec<Segment>,
    pub info: audio::Info,
    pub report: audio::Report,
    /// Seconds of one core per stage.
    pub stages: Vec<Stage>,
    pub wall_seconds: f64,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Audio(#[from] audio::Error),
    #[error(transparent)]
    Recognizer(#[from] recognizer::Error),
    #[error("interrupted")]
    Interrupted,
    /// A bug of ours (or of a library) met by this recording; others go on.
    #[error("panicked: {0}")]
    Panicked(String),
}

impl Control {
    /// Makes the recording end with [`Error::Interrupted`] soon.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub fn progress(&self) -> Progress {
        Progress {
            seconds: self.milliseconds.load(Ordering::Relaxed) as f64 / 1000.0,
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn report(&self, progress: Progress) {
        self.milliseconds.store((progress.seconds * 1000.0) as u64, Ordering::Relaxed);
        self.bytes.store(progress.bytes, Ordering::Relaxed);
    }
}

impl Pipeline {
    pub fn new(
        vad: Arc<FsmnVad>,
        recognizer: Arc<dyn Recognizer>,
        segmentation: segmenter::Options,
        compute: Arc<dyn Compute>,
    ) -> Self {
        let longest = recognizer.max_seconds();
        let max_seconds = segmentation.max_seconds.min(longest);
        Self {
            vad,
            recognizer,
            segmentation: segmenter::Options { max_seconds, ..segmentation },
            compute,
        }
    }

    pub fn recognizer(&self) -> &recognizer::Description {
        self.recognizer.description()
    }

    pub fn vad_name(&self) -> &str {
        self.vad.name()
    }

    /// Digest of everything that the text depends on, save the recording itself.
    pub fn fingerprint(&self, decoding: &audio::Options, options: &Options) -> String {
        let text = format!(
            "revision {REVISION}\nrecognizer {}\nvad {}\nsegmentation {:?}\nchannels {:?}\n\
             allow_truncated {}\nlanguage {:?}\n",
            self.recognizer.description().digest,
            self.vad.digest(),
            self.segmentation,
            decoding.channels,
            decoding.allow_truncated,
            options.language,
        );
        hex::encode(Sha256::digest(text))
    }

    /// Transcribes one recording. Blocks: call it from a thread that may.
    pub fn transcribe(
        &self,
        decoder: audio::Decoder,
        options: &Options,
        control: &Arc<Control>,
    ) -> Result<Outcome, Error> {
        if let Some(language) = &options.language
            && !self.recognizer.description().languages.contains(language)
        {
            return Err(recognizer::Error::UnknownLanguage(language.clone()).into());
        }
        Run::new(self, decoder, options, control).finish()
    }
}

/// One recording in flight.
struct Run<'a> {
    pipeline: &'a Pipeline,
    control: &'a Arc<Control>,
    started: Instant,
    decoder: audio::Decoder,
    channels: Vec<Channel>,
    /// Split channels are labelled, a mix is not.
    labelled: bool,
    in_flight: usize,
    results: (mpsc::Sender<Recognized>, mpsc::Receiver<Recognized>),
    segments: Vec<Segment>,
    /// Ends, in seconds, of the windows in flight by window number.
    pending_ends: BTreeMap<usize, f64>,
    windows: usize,
    cost: f64,
    decode_seconds: f64,
    vad_seconds: f64,
    recognize_seconds: f64,
}

struct Channel {
    segmenter: Segmenter,
    packer: Packer,
    language: Option<String>,
}

/// What comes back from the pool.
struct Recognized {
    number: usize,
    channel: usize,
    window: Window,
    language: Option<String>,
    hypotheses: Result<Vec<Hypothesis>, Error>,
    cpu_seconds: f64,
}

impl<'a> Run<'a> {
    fn new(
        pipeline: &'a Pipeline,
        decoder: audio::Decoder,
        options: &Options,
        control: &'a Arc<Control>,
    ) -> Self {
        let recognizer = &pipeline.recognizer;
        let channels = (0..decoder.output_channels())
            .map(|_| Channel {
                segmenter: Segmenter::new(Arc::clone(&pipeline.vad), pipeline.segmentation.clone()),
                packer: Packer::new(recognizer.max_seconds(), recognizer.fixed_window()),
                language: options.language.clone(),
            })
            .collect::<Vec<_>>();
        Self {
            pipeline,
            control,
            started: Instant::now(),
            labelled: channels.len() > 1,
            cost: decoder.info().declared_duration.unwrap_or(0.0),
            decoder,
            channels,
            in_flight: 0,
            results: mpsc::channel(),
            segments: Vec::new(),
            pending_ends: BTreeMap::new(),
            windows: 0,
            decode_seconds: 0.0,
            vad_seconds: 0.0,
            recognize_seconds: 0.0,
        }
    }

    fn finish(mut self) -> Result<Outcome, Error> {
        let result = self.run();
        // Windows still in flight hold nothing of ours but the channel; they need not be waited for.
        result?;
        self.segments
            .sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.channel.cmp(&b.channel)));
        let stage = |name: &str, seconds: f64| Stage { name: name.to_owned(), seconds };
        Ok(Outcome {
            segments: self.segments,
            info: self.decoder.info().clone(),
            report: self.decoder.report().clone(),
            stages: vec![
                stage("decode", self.decode_seconds),
                stage("vad", self.vad_seconds),
                stage("recognize", self.recognize_seconds),
            ],
            wall_seconds: self.started.elapsed().as_secs_f64(),
        })
    }

    fn run(&mut self) -> Result<(), Error> {
        let compute = Arc::clone(&self.pipeline.compute);
        let mut block = audio::Block::default();
        loop {
            if self.control.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let mut windows = Vec::new();
            let mut more = Ok(true);
            compute.run(&mut || more = self.advance(&mut block, &mut windows));
            let more = more?;
            for (channel, window) in windows {
                self.submit(channel, window)?;
            }
            self.report_progress();
            if !more {
                break;
            }
        }
        while self.in_flight > 0 {
            self.receive()?;
            self.report_progress();
        }
        Ok(())
    }

    /// Decodes one block and finds the speech in it; `false` at the end of the recording.
    fn advance(
        &mut self,
        block: &mut audio::Block,
        windows: &mut Vec<(usize, Window)>,
    ) -> Result<bool, Error> {
        let start = thread_cpu_seconds();
        let more = self.decoder.next_block(block)?;
        let decoded = thread_cpu_seconds();
        self.decode_seconds += decoded - start;

        let mut segments = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if more {
                channel.segmenter.push(&block.channels[index], &mut segments)?;
            } else {
                channel.segmenter.finish(&mut segments)?;
            }
            windows.extend(
                segments.drain(..).filter_map(|s| channel.packer.push(s)).map(|w| (index, w)),
            );
            if !more {
                windows.extend(channel.packer.finish().map(|w| (index, w)));
            }
        }
        self.vad_seconds += thread_cpu_seconds() - decoded;
        Ok(more)
    }

    /// Sends a window to the pool, waiting while too many are there.
    fn submit(&mut self, channel: usize, window: Window) -> Result<(), Error> {
        // A channel's first window tells the language of those after it.
        let first = self.channels[channel].language.is_none()
            && self.pipeline.recognizer.description().languages.len() > 1;
        // One waits for the core that is free next.
        while self.in_flight > self.pipeline.compute.width() {
            self.receive()?;
        }
        self.pending_ends.insert(self.windows, window.recording_end());
        let task = WindowTask {
            number: self.windows,
            channel,
            window,
            language: self.channels[channel].language.clone(),
            recognizer: Arc::clone(&self.pipeline.recognizer),
            control: Arc::clone(self.control),
            results: self.results.0.clone(),
        };
        self.windows += 1;
        self.in_flight += 1;
        self.pipeline.compute.spawn(self.cost, Box::new(move || task.run()));
        if first {
            while self.in_flight > 0 {
                self.receive()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Error> {
        let recognized = loop {
            match self.results.1.recv_timeout(INTERRUPT_POLL) {
                Ok(recognized) => break recognized,
                Err(_) if self.control.is_interrupted() => return Err(Error::Interrupted),
                Err(_) => {}
            }
        };
        self.in_flight -= 1;
        self.pending_ends.remove(&recognized.number);
        self.recognize_seconds += recognized.cpu_seconds;
        let channel = recognized.channel;
        if self.channels[channel].language.is_none() {
            self.channels[channel].language.clone_from(&recognized.language);
        }
        for hypothesis in recognized.hypotheses? {
            let label = self.labelled.then_some(channel as u32);
            self.segments.extend(to_segment(
                hypothesis,
                &recognized.window,
                label,
                recognized.language.clone(),
            ));
        }
        Ok(())
    }

    fn report_progress(&self) {
        let report = self.decoder.report();
        let seconds = self.pending_ends.values().copied().fold(report.duration, f64::min);
        // What is decoded ahead of the recognizer is read, but not done.
        let share = if report.duration > 0.0 { seconds / report.duration } else { 1.0 };
        let bytes = (report.bytes_read as f64 * share) as u64;
        self.control.report(Progress { seconds, bytes });
    }
}

/// One window's work in the pool. Whatever happens to it, it answers.
struct WindowTask {
    number: usize,
    channel: usize,
    window: Window,
    language: Option<String>,
    recognizer: Arc<dyn Recognizer>,
    control: Arc<Control>,
    results: mpsc::Sender<Recognized>,
}

impl WindowTask {
    fn run(mut self) {
        let start = thread_cpu_seconds();
        let hypotheses = panic::catch_unwind(AssertUnwindSafe(|| self.recognize()))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(&*panic))));
        let recognized = Recognized {
            number: self.number,
            channel: self.channel,
            window: self.window,
            language: self.language,
            hypotheses,
            cpu_seconds: thread_cpu_seconds() - start,
        };
        // The recording may have failed meanwhile; then nobody listens.
        let _ = self.results.send(recognized);
    }

    fn recognize(&mut self) -> Result<Vec<Hypothesis>, Error> {
        if self.control.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let options = recognizer::Options {
            language: self.language.clone(),
            ..recognizer::Options::default()
        };
        let recognition = self.recognizer.recognize(&self.window.samples, &options)?;
        if self.language.is_none() {
            let languages = &self.recognizer.description().languages;
            let only = languages.first().filter(|_| languages.len() == 1).cloned();
            self.language = recognition.guess.map(|guess| guess.language).or(only);
        }
        Ok(recognition.hypotheses)
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

fn to_segment(
    hypothesis: Hypothesis,
    window: &Window,
    channel: Option<u32>,
    language: Option<String>,
) -> Option<Segment> {
    let text = hypothesis.text.trim();
    if text.is_empty() {
        return None;
    }
    let (start, end) = window.to_recording(hypothesis.start, hypothesis.end);
    let words = hypothesis.words.iter().map(|word| {
        let (start, end) = window.to_recording(word.start, word.end);
        Word {
            start: milliseconds(start),
            end: milliseconds(end),
            text: word.text.clone(),
            confidence: Some(word.log_probability.exp()),
            speaker: None,
        }
    });
    Some(Segment {
        start: milliseconds(start),
        end: milliseconds(end),
        channel,
        language,
        text: text.to_owned(),
        confidence: hypothesis.log_probability.exp().clamp(0.0, 1.0),
        words: words.collect(),
        emotion: hypothesis.emotion,
        event: hypothesis.event,
        ..Segment::default()
    })
}

/// Rounds seconds to what the clocks of recognizers are worth.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
