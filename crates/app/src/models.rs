//! Opens models: the one place that knows the type behind each family.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use models::{Family, ModelDirectory, Role};
use speech::{
    itn::Normalizer,
    paraformer::Paraformer,
    parakeet::Parakeet,
    pipeline,
    punctuation::Punctuator,
    recognizer::{Precision, Recognizer},
    sensevoice::SenseVoice,
    speakers::{Diarizer, SpeakerEncoder, SpeakersConfig, segmentation::SegmentationNetwork},
    vad::{FsmnVad, VoiceActivityDetector},
    whisper::{Whisper, WhisperOptions},
};

use crate::{
    Error,
    config::RecognizerConfig,
    presets::{PresetDirectories, wrong_role},
};

/// An opened model, by role.
#[derive(Clone)]
enum Model {
    Recognizer(Arc<dyn Recognizer>),
    VoiceActivity(Arc<dyn VoiceActivityDetector>),
    Punctuation(Arc<Punctuator>),
    Speakers(Arc<SpeakerEncoder>),
    SpeakerSegmentation(Arc<SegmentationNetwork>),
    Normalization(Arc<Normalizer>),
}

/// Opens a recognizer.
///
/// # Errors
/// [`Error::Recognizer`] if the model cannot be opened; [`Error::Config`] if it is not a
/// recognizer.
pub fn open_recognizer(
    directory: &ModelDirectory,
    config: &RecognizerConfig,
) -> Result<Arc<dyn Recognizer>, Error> {
    match open(directory, config)? {
        Model::Recognizer(recognizer) => Ok(recognizer),
        _ => Err(wrong_role(&directory.name, directory.family, Role::Recognizer).into()),
    }
}

/// Converts the PyTorch checkpoint in a model directory, and returns the path of the result. Checks that
/// the model can be opened.
///
/// # Errors
/// [`Error::Models`] if the checkpoint cannot be converted; [`Error::Recognizer`] if its weights do
/// not fit the network.
pub fn convert_model(directory: &Path) -> Result<PathBuf, Error> {
    let converted = models::convert(directory)?;
    open(&ModelDirectory::recognize(directory)?, &RecognizerConfig::default())?;
    Ok(converted)
}

/// Opens a model. A new family is added here.
fn open(directory: &ModelDirectory, config: &RecognizerConfig) -> Result<Model, Error> {
    let ModelDirectory { path, name, family, .. } = directory;
    let precision = config.precision;
    Ok(match family {
        Family::Whisper => {
            Model::Recognizer(Arc::new(Whisper::open(path, name, whisper_options(config))?))
        }
        Family::Paraformer => Model::Recognizer(Arc::new(Paraformer::open(path, name, precision)?)),
        Family::SenseVoice => Model::Recognizer(Arc::new(SenseVoice::open(path, name, precision)?)),
        Family::Parakeet => Model::Recognizer(Arc::new(Parakeet::open(path, name, precision)?)),
        Family::FsmnVad => Model::VoiceActivity(Arc::new(FsmnVad::open(path)?)),
        Family::CtTransformer => {
            // Most punctuation models are published in one precision only.
            let available = Punctuator::is_available(path, precision);
            let precision = precision.filter(|_| available);
            Model::Punctuation(Arc::new(Punctuator::open(path, name, precision)?))
        }
        Family::CamPlusPlus => Model::Speakers(Arc::new(SpeakerEncoder::open(path, name)?)),
        Family::PyannoteSegmentation => {
            Model::SpeakerSegmentation(Arc::new(SegmentationNetwork::open(path, name)?))
        }
        Family::TextNormalization => Model::Normalization(Arc::new(Normalizer::open(path)?)),
    })
}

fn whisper_options(config: &RecognizerConfig) -> WhisperOptions {
    WhisperOptions {
        precision: config.precision.unwrap_or(Precision::Int8),
        beam_size: config.beam_size,
        ..WhisperOptions::default()
    }
}

/// Opens models, each directory once, so that presets share them.
pub(crate) struct ModelLoader {
    config: RecognizerConfig,
    speakers: SpeakersConfig,
    opened: BTreeMap<PathBuf, Model>,
}

impl ModelLoader {
    pub(crate) fn new(config: RecognizerConfig, speakers: SpeakersConfig) -> Self {
        Self { config, speakers, opened: BTreeMap::new() }
    }

    /// Opens the models of a preset.
    pub(crate) fn models(&mut self, preset: &PresetDirectories) -> Result<pipeline::Models, Error> {
        Ok(pipeline::Models {
            recognizer: self.open(&preset.recognizer, Role::Recognizer, |model| match model {
                Model::Recognizer(recognizer) => Some(recognizer),
                _ => None,
            })?,
            vad: self.open(&preset.vad, Role::VoiceActivity, |model| match model {
                Model::VoiceActivity(vad) => Some(vad),
                _ => None,
            })?,
            punctuator: self.maybe_open(
                &preset.punctuation,
                Role::Punctuation,
                |model| match model {
                    Model::Punctuation(punctuator) => Some(punctuator),
                    _ => None,
                },
            )?,
            diarizer: self.diarizer(preset)?,
            normalizer: self.maybe_open(
                &preset.normalization,
                Role::TextNormalization,
                |model| match model {
                    Model::Normalization(normalizer) => Some(normalizer),
                    _ => None,
                },
            )?,
        })
    }

    /// Opens the models that a preset has for speakers.
    fn diarizer(&mut self, preset: &PresetDirectories) -> Result<Option<Arc<Diarizer>>, Error> {
        let encoder = self.maybe_open(&preset.speakers, Role::Speakers, |model| match model {
            Model::Speakers(encoder) => Some(encoder),
            _ => None,
        })?;
        let segmentation =
            self.maybe_open(&preset.speaker_segmentation, Role::SpeakerSegmentation, |model| {
                match model {
                    Model::SpeakerSegmentation(network) => Some(network),
                    _ => None,
                }
            })?;
        Ok(encoder.map(|encoder| Arc::new(Diarizer::new(encoder, segmentation, &self.speakers))))
    }

    fn open<M>(
        &mut self,
        directory: &ModelDirectory,
        role: Role,
        select: impl Fn(Model) -> Option<M>,
    ) -> Result<M, Error> {
        let model = match self.opened.get(&directory.path) {
            Some(model) => model.clone(),
            None => {
                let model = open(directory, &self.config)?;
                self.opened.insert(directory.path.clone(), model.clone());
                model
            }
        };
        select(model).ok_or_else(|| wrong_role(&directory.name, directory.family, role).into())
    }

    fn maybe_open<M>(
        &mut self,
        directory: &Option<ModelDirectory>,
        role: Role,
        select: impl Fn(Model) -> Option<M>,
    ) -> Result<Option<M>, Error> {
        directory.as_ref().map(|directory| self.open(directory, role, select)).transpose()
    }
}
