//! One recording's way from PCM to text: decode, voice activity, recognition, and what is done with
//! the words once all are there: punctuation, digits, speakers.
//!
//! The calling thread decodes and finds speech; windows of speech go to the compute pool, a bounded
//! number at a time, so that memory does not grow with the recording.

mod run;
mod sentences;
mod task;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};
use transcript::{Segment, Stage};

use self::run::Run;
use crate::{
    compute::Compute,
    itn::Normalizer,
    punctuation::Punctuator,
    recognizer::{self, Recognizer},
    segmenter,
    speakers::{Diarizer, SpeakerOptions},
    vad::FsmnVad,
};

/// Raised whenever the same recording may come out differently with the same models and options.
const REVISION: u32 = 4;
/// How long an interruption may go unnoticed while windows are being recognized.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);

/// The models of a pipeline, which may be shared with others.
#[derive(Clone)]
pub struct Models {
    pub vad: Arc<FsmnVad>,
    pub recognizer: Arc<dyn Recognizer>,
    /// Sets the marks where the recognizer sets none.
    pub punctuator: Option<Arc<Punctuator>>,
    /// Tells speakers apart, where that is asked for.
    pub diarizer: Option<Arc<Diarizer>>,
    /// Writes numbers as digits, where that is asked for and the recognizer does not.
    pub normalizer: Option<Arc<Normalizer>>,
}

/// Of a pipeline, for all recordings that do not ask for something else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub segmentation: segmenter::Options,
    /// Words and names to expect in every recording.
    pub hotwords: Vec<String>,
    /// Whether numbers, dates and amounts are written as digits.
    pub normalize: bool,
}

/// The models and settings that turn recordings into text, shared by all recordings in flight.
pub struct Pipeline {
    models: Models,
    settings: Settings,
    compute: Arc<dyn Compute>,
}

/// Per recording; what is `None` is as the pipeline's settings have it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Language code; `None`: detected on each channel's first speech, if the model knows several.
    pub language: Option<String>,
    /// Words and names to expect, besides those of [`Settings::hotwords`].
    pub hotwords: Vec<String>,
    /// Whether a punctuation model sets the marks if the recognizer sets none; `None`: it does.
    pub punctuate: Option<bool>,
    pub normalize: Option<bool>,
    /// `None`: speakers are not told apart.
    pub speakers: Option<SpeakerOptions>,
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
    /// Of the pipeline; those of the audio are in `report`.
    pub warnings: Vec<String>,
    /// Name of the model that set the marks, if one did.
    pub punctuation: Option<String>,
    /// Name of the model that told the speakers apart, if one did.
    pub speakers: Option<String>,
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
    /// The pipeline cannot do what the options ask for.
    #[error("{0}")]
    Unsupported(String),
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
    pub fn new(models: Models, settings: Settings, compute: Arc<dyn Compute>) -> Self {
        let longest = models.recognizer.max_seconds();
        let wanted = settings.segmentation.max_seconds.unwrap_or(longest);
        let mut settings = settings;
        settings.segmentation.max_seconds = Some(wanted.min(longest));
        Self { models, settings, compute }
    }

    pub fn recognizer(&self) -> &recognizer::Description {
        self.models.recognizer.description()
    }

    pub fn vad_name(&self) -> &str {
        self.models.vad.name()
    }

    /// The punctuation model, if it has anything to do.
    fn punctuator(&self, options: &Options) -> Option<&Arc<Punctuator>> {
        let punctuates = self.models.recognizer.punctuates(self.normalizes(options));
        let wanted = options.punctuate.unwrap_or(true) && !punctuates;
        self.models.punctuator.as_ref().filter(|_| wanted)
    }

    /// The speaker model, if it has anything to do.
    fn diarizer(&self, options: &Options) -> Option<&Arc<Diarizer>> {
        self.models.diarizer.as_ref().filter(|_| options.speakers.is_some())
    }

    /// Where a recognizer sets marks only together with digits, and nobody else sets any, marks
    /// that are wanted bring digits with them.
    fn normalizes(&self, options: &Options) -> bool {
        let recognizer = &self.models.recognizer;
        let for_marks = || {
            options.punctuate.unwrap_or(true)
                && self.models.punctuator.is_none()
                && recognizer.punctuates(true)
                && !recognizer.punctuates(false)
        };
        options.normalize.unwrap_or_else(|| self.settings.normalize || for_marks())
    }

    /// The grammars, if they have anything to do. Who writes marks writes digits, too.
    fn normalizer(&self, options: &Options) -> Option<&Arc<Normalizer>> {
        let wanted = self.normalizes(options) && !self.models.recognizer.punctuates(true);
        self.models.normalizer.as_ref().filter(|_| wanted)
    }

    fn hotwords(&self, options: &Options) -> Arc<[String]> {
        if !self.models.recognizer.takes_hotwords() {
            return Arc::default();
        }
        self.settings.hotwords.iter().chain(&options.hotwords).cloned().collect()
    }

    /// Digest of everything that the text depends on, save the recording itself.
    pub fn fingerprint(&self, decoding: &audio::DecodeOptions, options: &Options) -> String {
        let text = format!(
            "revision {REVISION}\nrecognizer {}\nvad {}\npunctuation {:?}\nspeakers {:?} {:?}\n\
             segmentation {:?}\nchannels {:?}\nallow_truncated {}\nlanguage {:?}\nhotwords {:?}\n\
             normalize {} {:?}\n",
            self.recognizer().digest,
            self.models.vad.digest(),
            self.punctuator(options).map(|punctuator| punctuator.digest()),
            self.diarizer(options).map(|diarizer| diarizer.digest()),
            options.speakers,
            self.settings.segmentation,
            decoding.channels,
            decoding.allow_truncated,
            options.language,
            self.hotwords(options),
            self.normalizes(options),
            self.normalizer(options).map(|normalizer| normalizer.digest()),
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
        self.check(options)?;
        Run::new(self, decoder, options, control).finish()
    }

    /// Whether the pipeline can do what the options ask for.
    pub fn check(&self, options: &Options) -> Result<(), Error> {
        if let Some(language) = &options.language
            && !self.recognizer().languages.contains(language)
        {
            return Err(recognizer::Error::UnknownLanguage(language.clone()).into());
        }
        self.models.recognizer.check_hotwords(&self.hotwords(options))?;
        if let Some(speakers) = &options.speakers {
            speakers.check().map_err(Error::Unsupported)?;
            if self.models.diarizer.is_none() {
                let message = "speakers are to be told apart, but no speaker model is loaded \
                               (`models.speakers` names it)";
                return Err(Error::Unsupported(message.to_owned()));
            }
        }
        Ok(())
    }
}
