//! From names in the configuration to pipelines: which models belong together, where they are, and
//! opening each once, however many presets share it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::Context;
use models::{Family, Library, ModelDirectory, Preset, Role};
use speech::{
    compute::Compute,
    itn::Normalizer,
    paraformer::Paraformer,
    pipeline::{self, Pipeline},
    punctuation::Punctuator,
    recognizer::{Error, Precision, Recognizer},
    sensevoice::SenseVoice,
    speakers::{Diarizer, SpeakerEncoder},
    vad::FsmnVad,
    whisper::{self, Whisper},
};
use worker::{ComputePool, Transcriber};

use crate::{UsageError, config::Config, wiring};

/// In place of a model's name: without one.
const NONE: &str = "none";

/// What transcribes: models loaded, cores at hand.
pub(crate) struct Engine {
    pub(crate) transcriber: Transcriber,
    pub(crate) cores: usize,
}

/// What a command needs of the models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Fetch what is missing, if the configuration allows it.
    pub(crate) pull: bool,
    pub(crate) punctuation: bool,
    pub(crate) speakers: bool,
    pub(crate) normalization: bool,
}

/// Loads the models of all presets, the default one first.
pub(crate) async fn engine(config: &Config, needs: Needs) -> anyhow::Result<Engine> {
    instruction_sets()?;
    let library = wiring::library(config)?;
    let mut parts = Vec::new();
    for name in std::iter::once(&config.models.recognizer).chain(&config.models.also) {
        add(&mut parts, Parts::find(config, &library, name, needs).await?)?;
    }
    let recognizer = config.recognizer.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let mut loader = Loader { config: recognizer, ..Loader::default() };
        parts
            .into_iter()
            .map(|parts| Ok((parts.name.clone(), loader.models(&parts)?)))
            .collect::<Result<Vec<_>, Error>>()
    })
    .await??;

    for (name, models) in &loaded {
        // Said here rather than by every job.
        models.recognizer.check_hotwords(&config.recognizer.hotwords).map_err(|error| {
            UsageError(format!("recognizer.hotwords, for the preset `{name}`: {error}"))
        })?;
    }

    let cores = match config.compute.threads {
        0 => available_cores(),
        threads => threads,
    };
    let pool: Arc<dyn Compute> = Arc::new(pool(cores, config.compute.pin)?);
    let settings = pipeline::Settings {
        segmentation: config.segmentation.clone(),
        hotwords: config.recognizer.hotwords.clone(),
        normalize: config.recognizer.normalize,
    };
    let pipelines = loaded
        .into_iter()
        .map(|(name, models)| (name, Pipeline::new(models, settings.clone(), Arc::clone(&pool))))
        .collect();
    let stores = wiring::stores(config)?;
    let transcriber = Transcriber::new(stores, pipelines, config.audio.options());
    Ok(Engine { transcriber, cores })
}

/// What products are made with; an error if the environment asks for what cannot be had.
pub(crate) fn instruction_sets() -> Result<&'static str, UsageError> {
    kernels::instruction_sets().map_err(|error| UsageError(error.to_string()))
}

/// All that this process may use: the CPUs of its mask, or fewer if the cgroup's quota grants no
/// more (`available_parallelism` heeds both).
pub(crate) fn available_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts compute threads.
pub(crate) fn pool(threads: usize, pin: bool) -> anyhow::Result<ComputePool> {
    if pin {
        ComputePool::pinned(threads).context("compute.pin: cannot bind threads to CPUs")
    } else {
        ComputePool::new(threads).context("cannot start the compute threads")
    }
}

/// Where the recognizer is that transcribes by default; fetched if need be.
pub(crate) async fn recognizer_directory(config: &Config) -> anyhow::Result<ModelDirectory> {
    let library = wiring::library(config)?;
    let preset = preset(config, &library, &config.models.recognizer);
    directory(config, &library, &preset.recognizer, Role::Recognizer, true).await
}

/// The preset of this name, or around the model that `name` is the name or directory of, with what
/// the configuration puts in place of its parts.
pub(crate) fn preset(config: &Config, library: &Library, name: &str) -> Preset {
    let mut preset = library.catalogue().preset(name).unwrap_or_else(|| Preset::of_model(name));
    if let Some(vad) = &config.models.vad {
        preset.vad.clone_from(vad);
    }
    let replaced = |by: &Option<String>, part: Option<String>| match by {
        Some(name) if name == NONE => None,
        Some(name) => Some(name.clone()),
        None => part,
    };
    preset.punctuation = replaced(&config.models.punctuation, preset.punctuation);
    preset.speakers = replaced(&config.models.speakers, preset.speakers);
    preset.normalization = replaced(&config.models.normalization, preset.normalization);
    preset
}

/// Adds a preset, unless it is there already. Jobs name presets: two cannot share a name.
fn add(all: &mut Vec<Parts>, parts: Parts) -> Result<(), UsageError> {
    match all.iter().find(|other| other.name == parts.name) {
        None => all.push(parts),
        Some(other) if *other == parts => {}
        Some(other) => {
            return Err(UsageError(format!(
                "models.recognizer and models.also: {} and {} would both be called `{}`; rename one \
                 of the directories, or leave one out",
                other.recognizer.path.display(),
                parts.recognizer.path.display(),
                parts.name,
            )));
        }
    }
    Ok(())
}

/// Where the models of a preset are.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// What jobs call it.
    name: String,
    recognizer: ModelDirectory,
    vad: ModelDirectory,
    punctuation: Option<ModelDirectory>,
    speakers: Option<ModelDirectory>,
    normalization: Option<ModelDirectory>,
}

impl Parts {
    async fn find(
        config: &Config,
        library: &Library,
        name: &str,
        needs: Needs,
    ) -> anyhow::Result<Self> {
        let preset = preset(config, library, name);
        let find =
            async |name: &str, role: Role| directory(config, library, name, role, needs.pull).await;
        let maybe = async |name: Option<String>, needed: bool, role: Role| match name {
            Some(name) if needed => find(&name, role).await.map(Some),
            _ => Ok(None),
        };
        let recognizer = find(&preset.recognizer, Role::Recognizer).await?;
        Ok(Self {
            // A directory goes by its own name.
            name: if preset.name == preset.recognizer {
                recognizer.name.clone()
            } else {
                preset.name
            },
            recognizer,
            vad: find(&preset.vad, Role::VoiceActivity).await?,
            punctuation: maybe(preset.punctuation, needs.punctuation, Role::Punctuation).await?,
            speakers: maybe(preset.speakers, needs.speakers, Role::Speakers).await?,
            normalization: maybe(
                preset.normalization,
                needs.normalization,
                Role::TextNormalization,
            )
            .await?,
        })
    }
}

async fn directory(
    config: &Config,
    library: &Library,
    name: &str,
    role: Role,
    pull: bool,
) -> anyhow::Result<ModelDirectory> {
    let opened = match library.open(name) {
        Err(models::Error::NotInstalled { .. } | models::Error::NotConverted { .. })
            if pull && config.models.auto_pull =>
        {
            wiring::pull(library, library.catalogue().get(name)?).await?
        }
        Err(unknown @ models::Error::Unknown { .. }) => {
            return Err(UsageError(unknown.to_string()).into());
        }
        opened => opened?,
    };
    if opened.family.role() != role {
        let what = match role {
            Role::Recognizer => "a recognizer",
            Role::VoiceActivity => "a voice activity detector",
            Role::Punctuation => "a punctuation model",
            Role::Speakers => "a speaker model",
            Role::TextNormalization => "text normalization",
        };
        let message = format!("model `{name}` is of the family {}, not {what}", opened.family);
        return Err(UsageError(message).into());
    }
    Ok(opened)
}

/// Opens models, each directory once.
#[derive(Default)]
struct Loader {
    config: crate::config::Recognizer,
    recognizers: Opened<dyn Recognizer>,
    vads: Opened<FsmnVad>,
    punctuators: Opened<Punctuator>,
    diarizers: Opened<Diarizer>,
    normalizers: Opened<Normalizer>,
}

type Opened<M> = BTreeMap<PathBuf, Arc<M>>;

impl Loader {
    fn models(&mut self, parts: &Parts) -> Result<pipeline::Models, Error> {
        let recognizer = &parts.recognizer;
        Ok(pipeline::Models {
            recognizer: once(&mut self.recognizers, &recognizer.path, || {
                open_recognizer(recognizer, &self.config)
            })?,
            vad: once(&mut self.vads, &parts.vad.path, || {
                FsmnVad::open(&parts.vad.path).map(Arc::new)
            })?,
            punctuator: maybe(&parts.punctuation, |model| {
                once(&mut self.punctuators, &model.path, || {
                    // Most punctuation models are published in one precision only.
                    let wanted = self.config.precision;
                    let available = Punctuator::is_available(&model.path, wanted);
                    let precision = if available { wanted } else { Precision::Auto };
                    Punctuator::open(&model.path, &model.name, precision).map(Arc::new)
                })
            })?,
            diarizer: maybe(&parts.speakers, |model| {
                once(&mut self.diarizers, &model.path, || {
                    let encoder = SpeakerEncoder::open(&model.path, &model.name)?;
                    Ok(Arc::new(Diarizer::new(Arc::new(encoder))))
                })
            })?,
            normalizer: maybe(&parts.normalization, |model| {
                once(&mut self.normalizers, &model.path, || {
                    Normalizer::open(&model.path).map(Arc::new)
                })
            })?,
        })
    }
}

pub(crate) fn open_recognizer(
    model: &ModelDirectory,
    config: &crate::config::Recognizer,
) -> Result<Arc<dyn Recognizer>, Error> {
    let (path, name, precision) = (&model.path, &model.name, config.precision);
    Ok(match model.family {
        Family::Paraformer => Arc::new(Paraformer::open(path, name, precision)?),
        Family::SenseVoice => Arc::new(SenseVoice::open(path, name, precision)?),
        // What remains of the recognizers.
        _ => {
            let settings = whisper::Settings {
                precision: match precision {
                    Precision::Auto | Precision::Int8 => whisper::network::Precision::Int8,
                    Precision::Bf16 => whisper::network::Precision::Bf16,
                    Precision::F32 => whisper::network::Precision::F32,
                },
                beam_size: config.beam_size,
                ..whisper::Settings::default()
            };
            Arc::new(Whisper::open(path, name, settings)?)
        }
    })
}

fn once<M: ?Sized>(
    opened: &mut Opened<M>,
    path: &Path,
    open: impl FnOnce() -> Result<Arc<M>, Error>,
) -> Result<Arc<M>, Error> {
    if let Some(model) = opened.get(path) {
        return Ok(Arc::clone(model));
    }
    let model = open()?;
    opened.insert(path.to_owned(), Arc::clone(&model));
    Ok(model)
}

fn maybe<T, M>(
    model: &Option<T>,
    open: impl FnOnce(&T) -> Result<M, Error>,
) -> Result<Option<M>, Error> {
    model.as_ref().map(open).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str, path: &str) -> Parts {
        let model = |name: &str, family, path: &str| ModelDirectory {
            name: name.to_owned(),
            family,
            path: path.into(),
        };
        Parts {
            name: name.to_owned(),
            recognizer: model(name, Family::Paraformer, path),
            vad: model("fsmn-vad", Family::FsmnVad, "/m/fsmn-vad"),
            punctuation: None,
            speakers: None,
            normalization: None,
        }
    }

    #[test]
    fn two_presets_of_one_name_are_refused_with_both_directories() {
        let mut all = Vec::new();
        add(&mut all, parts("model", "/m/v2/model")).unwrap();
        add(&mut all, parts("other", "/m/other")).unwrap();
        // Named twice, but one and the same.
        add(&mut all, parts("model", "/m/v2/model")).unwrap();
        assert_eq!(all.len(), 2);
        let error = add(&mut all, parts("model", "/m/v1/model")).unwrap_err().to_string();
        for word in ["/m/v2/model", "/m/v1/model", "`model`"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
