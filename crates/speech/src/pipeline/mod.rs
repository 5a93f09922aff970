//! The way of one recording from PCM to text: decoding, voice activity detection, recognition, and,
//! once all words are known, punctuation, digits and speakers.
//!
//! The calling thread decodes and detects speech. Windows of speech go to the compute pool, a
//! bounded number at a time, so that memory use does not grow with the length of the recording.
//!
//! `run` has the steps in order: `reader` decodes and packs windows, `task` recognizes one window in
//! the pool, `collector` gathers the results, which `place` maps to the recording, `speakers` finds who speaks when,
//! `finish`, `sentences` and `attribution` make a transcript of them. `journal` keeps the results of tasks between
//! attempts.

mod attribution;
mod bleed;
mod collector;
mod fingerprint;
mod finish;
mod foreign;
mod journal;
mod memory;
mod place;
mod reader;
mod run;
mod sentences;
mod session;
mod speakers;
mod task;
mod warm_up;

use std::sync::Arc;

use transcript::{Segment, Stage};

pub use self::{
    journal::{Journal, TaskKey, TaskResult},
    session::{Listener, Progress, Session},
};
use crate::{
    compute::Compute,
    itn::Normalizer,
    punctuation::Punctuator,
    recognizer::{self, Recognizer},
    segmenter::SegmentationConfig,
    speakers::{
        Diarizer, SpeakerOptions,
        voices::{self, VoicePrints},
    },
    vad::VoiceActivityDetector,
};

/// The models of a pipeline. Several pipelines can share them.
#[derive(Clone)]
pub struct Models {
    pub vad: Arc<dyn VoiceActivityDetector>,
    pub recognizer: Arc<dyn Recognizer>,
    /// Adds punctuation if the recognizer adds none.
    pub punctuator: Option<Arc<Punctuator>>,
    /// Identifies speakers, for jobs that ask for it.
    pub diarizer: Option<Arc<Diarizer>>,
    /// Writes numbers as digits, for jobs that ask for it, if the recognizer does not.
    pub normalizer: Option<Arc<Normalizer>>,
}

/// Configuration of a pipeline: the defaults for all recordings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineConfig {
    pub segmentation: SegmentationConfig,
    /// Hotwords for every recording.
    pub hotwords: Vec<String>,
    /// Whether numbers, dates and amounts are written as digits.
    pub normalize: bool,
}

/// Models and configuration that turn recordings into text, shared by all recordings in flight.
///
/// ```no_run
/// use std::{fs::File, path::Path, sync::Arc};
///
/// use audio::{ChannelMode, Decoder, Limits};
/// use speech::{
///     compute::{Compute, Owner, Task},
///     pipeline::{Models, Pipeline, PipelineConfig, Session, TranscribeOptions},
///     vad::FsmnVad,
///     whisper::{Whisper, WhisperOptions},
/// };
///
/// /// Runs everything on the calling thread. A worker brings a thread pool.
/// struct OneThread;
///
/// impl Compute for OneThread {
///     fn width(&self) -> usize {
///         1
///     }
///
///     fn spawn(&self, _owner: Owner, task: Task) {
///         task();
///     }
///
///     fn run(&self, _owner: Owner, work: &mut dyn FnMut()) {
///         work();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let whisper = Path::new("models/whisper-tiny.en");
/// let models = Models {
///     vad: Arc::new(FsmnVad::open(Path::new("models/fsmn-vad"))?),
///     recognizer: Arc::new(Whisper::open(whisper, "tiny.en", WhisperOptions::default())?),
///     punctuator: None,
///     diarizer: None,
///     normalizer: None,
/// };
/// let pipeline = Pipeline::new(models, PipelineConfig::default(), Arc::new(OneThread));
///
/// let decoding = audio::DecodeOptions {
///     limits: Limits::default(),
///     channels: ChannelMode::Mix,
///     ..audio::DecodeOptions::default()
/// };
/// let decoder = Decoder::open(Box::new(File::open("interview.mp3")?), &decoding)?;
/// let session = Arc::new(Session::default());
/// let outcome = pipeline.transcribe(decoder, &TranscribeOptions::default(), &session)?;
/// for segment in &outcome.segments {
///     println!("{:.2} to {:.2}: {}", segment.start, segment.end, segment.text);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pipeline {
    models: Models,
    config: PipelineConfig,
    compute: Arc<dyn Compute>,
}

/// Options of one recording. `None` stands for the pipeline's configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TranscribeOptions {
    /// Language code. With `None`, a multilingual model detects the language in the first speech of
    /// each channel.
    pub language: Option<String>,
    /// Hotwords in addition to [`PipelineConfig::hotwords`].
    pub hotwords: Vec<String>,
    /// Text that could precede the recording, where the recognizer supports it.
    pub prompt: Option<String>,
    /// Whether the text is in English, whatever is spoken.
    pub translate: bool,
    /// Whether a punctuation model adds punctuation if the recognizer adds none. Defaults to `true`.
    pub punctuate: Option<bool>,
    pub normalize: Option<bool>,
    /// Whether segments have words with times, where the recognizer finds them. Defaults to `true`.
    pub word_times: Option<bool>,
    /// How speakers are identified. With `None`, they are not.
    pub speakers: Option<SpeakerOptions>,
}

impl TranscribeOptions {
    /// Returns whether segments have words with times.
    fn has_word_times(&self) -> bool {
        self.word_times.unwrap_or(true)
    }
}

/// Result of a transcription.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In order of start. Each channel numbers its speakers on its own.
    pub segments: Vec<Segment>,
    /// Who speaks when, in order of start; empty if speakers are not identified.
    pub turns: Vec<transcript::Turn>,
    /// Speakers whose voices are known.
    pub voices: Vec<transcript::KnownVoice>,
    pub info: audio::Info,
    /// The decoder's report, with warnings about what is spoken after its own.
    pub report: audio::Report,
    /// Warnings about options that have no effect.
    pub warnings: Vec<String>,
    /// Name of the model that added punctuation, if one did.
    pub punctuation: Option<String>,
    /// Name of the model that identified speakers, if one did.
    pub speakers: Option<String>,
    /// Name of the network that found when they speak, if one did.
    pub speaker_segmentation: Option<String>,
    /// CPU seconds of each stage.
    pub stages: Vec<Stage>,
    pub wall_seconds: f64,
}

/// Errors of a transcription.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Audio(#[from] audio::Error),
    #[error(transparent)]
    Recognizer(#[from] recognizer::Error),
    /// The pipeline does not support what the options ask for.
    #[error("{0}")]
    Unsupported(String),
    /// The voice prints of the options are of another speaker model.
    #[error(transparent)]
    Voices(#[from] voices::Error),
    #[error("interrupted")]
    Interrupted,
    /// A bug in our code or a library. It affects this recording only.
    #[error("panicked: {0}")]
    Panicked(String),
}

impl Pipeline {
    /// Creates a pipeline whose windows are recognized by `compute`. Segments are at most as long as
    /// the recognizer accepts, whatever `config` says.
    pub fn new(models: Models, mut config: PipelineConfig, compute: Arc<dyn Compute>) -> Self {
        let longest = models.recognizer.max_seconds();
        let wanted = config.segmentation.max_seconds.unwrap_or(longest);
        config.segmentation.max_seconds = Some(wanted.min(longest));
        Self { models, config, compute }
    }

    /// Returns the identity of the recognizer.
    pub fn recognizer(&self) -> &recognizer::Description {
        self.models.recognizer.description()
    }

    /// Returns the name of the voice activity detector.
    pub fn vad_name(&self) -> &str {
        self.models.vad.name()
    }

    /// Returns the punctuation model if these options need it.
    fn punctuator(&self, options: &TranscribeOptions) -> Option<&Arc<Punctuator>> {
        let punctuates = self.models.recognizer.punctuates(self.normalizes(options));
        let wanted = options.punctuate.unwrap_or(true) && !punctuates;
        self.models.punctuator.as_ref().filter(|_| wanted)
    }

    /// Returns the diarizer if these options need it.
    fn diarizer(&self, options: &TranscribeOptions) -> Option<&Arc<Diarizer>> {
        self.models.diarizer.as_ref().filter(|_| options.speakers.is_some())
    }

    /// Returns whether numbers become digits. A recognizer may add punctuation only together with
    /// digits. Without a punctuation model, options that ask for punctuation then imply digits.
    fn normalizes(&self, options: &TranscribeOptions) -> bool {
        let recognizer = &self.models.recognizer;
        let for_punctuation = || {
            options.punctuate.unwrap_or(true)
                && self.models.punctuator.is_none()
                && recognizer.punctuates(true)
                && !recognizer.punctuates(false)
        };
        options.normalize.unwrap_or_else(|| self.config.normalize || for_punctuation())
    }

    /// Returns the normalizer if these options need it. A recognizer that adds punctuation writes
    /// digits as well.
    fn normalizer(&self, options: &TranscribeOptions) -> Option<&Arc<Normalizer>> {
        let wanted = self.normalizes(options) && !self.models.recognizer.punctuates(true);
        self.models.normalizer.as_ref().filter(|_| wanted)
    }

    /// Returns whether the text of segments is final as soon as they are recognized.
    pub fn is_text_final(&self, options: &TranscribeOptions) -> bool {
        self.punctuator(options).is_none()
            && self.normalizer(options).is_none()
            && self.diarizer(options).is_none()
    }

    /// Returns all hotwords, or none if the recognizer does not support them.
    fn hotwords(&self, options: &TranscribeOptions) -> Arc<[String]> {
        if !self.models.recognizer.takes_hotwords() {
            return Arc::default();
        }
        self.config.hotwords.iter().chain(&options.hotwords).cloned().collect()
    }

    /// Returns the digest of everything besides the recording that the text depends on.
    pub fn fingerprint(
        &self,
        decoding: &audio::DecodeOptions,
        options: &TranscribeOptions,
    ) -> String {
        fingerprint::fingerprint(self, decoding, options)
    }

    /// Returns the fingerprint for recordings that another program decodes, with its version.
    pub fn fingerprint_with(
        &self,
        program: &str,
        decoding: &audio::DecodeOptions,
        options: &TranscribeOptions,
    ) -> String {
        fingerprint::with_program(&self.fingerprint(decoding, options), program)
    }

    /// Returns the bytes that the transcription of this recording holds at most, by estimate, besides
    /// the models and their activations.
    pub fn memory_estimate(&self, decoder: &audio::Decoder, options: &TranscribeOptions) -> u64 {
        memory::estimate(self, decoder, options)
    }

    /// Recognizes noise on all cores, so that models are loaded and packed completely, and memory for
    /// their activations is allocated, before the first recording.
    pub fn warm_up(&self) {
        warm_up::warm_up(self);
    }

    /// Transcribes one recording. This call blocks: do not make it from an async task.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`Error::Recognizer`] if the pipeline does not support the options,
    /// as [`Pipeline::check`]; [`Error::Interrupted`] after [`Session::interrupt`]; else an error of
    /// the decoder or of a model.
    pub fn transcribe(
        &self,
        decoder: audio::Decoder,
        options: &TranscribeOptions,
        session: &Arc<Session>,
    ) -> Result<Outcome, Error> {
        self.check(options)?;
        run::transcribe(self, decoder, options, session)
    }

    /// Checks that the pipeline supports the options.
    ///
    /// # Errors
    /// Says which language, hotword or setting of the speakers is not supported.
    pub fn check(&self, options: &TranscribeOptions) -> Result<(), Error> {
        if let Some(language) = &options.language
            && !self.recognizer().languages.contains(language)
        {
            return Err(self.recognizer().unknown_language(language).into());
        }
        self.models.recognizer.check_hotwords(&self.hotwords(options))?;
        if options.translate && !self.models.recognizer.translates() {
            let name = &self.recognizer().name;
            let message = format!(
                "the model `{name}` does not translate: take a multilingual Whisper model, such as \
                 whisper-base"
            );
            return Err(Error::Unsupported(message));
        }
        if let Some(speakers) = &options.speakers {
            speakers.check().map_err(Error::Unsupported)?;
            if self.models.diarizer.is_none() {
                let message = "the job asks for speakers, but no speaker model is loaded: \
                               `models.speakers` must name one, such as `campplus`, and \
                               `scriptorium models pull campplus` fetches it";
                return Err(Error::Unsupported(message.to_owned()));
            }
            if let Some(voices) = &speakers.voices {
                self.check_voices(voices)?;
            }
        }
        Ok(())
    }

    /// Checks that the speaker model, if there is one, has made these voice prints.
    ///
    /// # Errors
    /// [`voices::Error::OtherEncoder`].
    pub fn check_voices(&self, prints: &VoicePrints) -> Result<(), voices::Error> {
        let diarizer = self.models.diarizer.as_ref();
        diarizer.map_or(Ok(()), |diarizer| prints.check_encoder(&diarizer.encoder().into()))
    }

    /// Returns warnings about options that have no effect.
    fn warnings(&self, options: &TranscribeOptions) -> Vec<String> {
        let name = &self.recognizer().name;
        let recognizer = &self.models.recognizer;
        let normalizes = self.normalizes(options);
        let mut warnings = Vec::new();
        if !options.hotwords.is_empty() && self.hotwords(options).is_empty() {
            warnings
                .push(format!("hotwords are ignored: the model `{name}` does not support them"));
        }
        if options.prompt.is_some() && !recognizer.takes_prompt() {
            warnings.push(format!("the prompt is ignored: the model `{name}` takes none"));
        }
        if options.punctuate == Some(true)
            && !recognizer.punctuates(normalizes)
            && self.punctuator(options).is_none()
        {
            warnings.push(format!(
                "there is no punctuation: the model `{name}` adds none, and no punctuation model is \
                 loaded (set `models.punctuation`)"
            ));
        }
        if normalizes && !recognizer.punctuates(true) && self.normalizer(options).is_none() {
            warnings.push(format!(
                "numbers stay words: the model `{name}` does not write digits, and no grammars for \
                 inverse text normalization are loaded (set `models.normalization`)"
            ));
        }
        warnings
    }
}
