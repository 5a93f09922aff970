//! Finds the models of a preset: which belong together, and where their directories are.

use std::{fs, path::PathBuf, time::Duration};

use errors::Chain;
use models::{
    DEFAULT_SPEAKER_SEGMENTATION, DEFAULT_SPEAKERS, Family, Library, ModelDirectory, Preset, Role,
};

use crate::{BuildOptions, Config, ConfigError, Error, OnPull, services};

/// Value of a setting that removes a model from the preset.
const NONE: &str = "none";

/// Finds the directory of the default recognizer, pulling it if needed.
///
/// # Errors
/// [`Error::Config`] if the model is unknown or not a recognizer; [`Error::Models`] if it is not
/// installed and cannot be pulled.
pub async fn find_recognizer(
    config: &Config,
    on_pull: OnPull<'_>,
) -> Result<ModelDirectory, Error> {
    let library = services::library(config)?;
    let preset = preset(config, &library, &config.models.recognizer);
    find(config, &library, &preset.recognizer, Role::Recognizer, Some(on_pull)).await
}

/// Returns the preset called `name`, or a preset for the model that `name` is the name or directory
/// of, with the models that the configuration sets in place of the preset's.
pub fn preset(config: &Config, library: &Library, name: &str) -> Preset {
    let mut preset = library.catalogue().preset(name).unwrap_or_else(|| Preset::of_model(name));
    if let Some(vad) = &config.models.vad {
        preset.vad.clone_from(vad);
    }
    let replaced = |setting: &Option<String>, model: Option<String>| match setting {
        Some(name) if name == NONE => None,
        Some(name) => Some(name.clone()),
        None => model,
    };
    preset.punctuation = replaced(&config.models.punctuation, preset.punctuation);
    preset.speakers = replaced(&config.models.speakers, preset.speakers);
    preset.speaker_segmentation =
        replaced(&config.models.speaker_segmentation, preset.speaker_segmentation);
    match &preset.speakers {
        // Any speaker model goes with it.
        Some(_) if config.models.speaker_segmentation.is_none() => {
            let default = || DEFAULT_SPEAKER_SEGMENTATION.to_owned();
            preset.speaker_segmentation.get_or_insert_with(default);
        }
        None if config.models.speakers.is_some() => preset.speaker_segmentation = None,
        _ => {}
    }
    preset.normalization = replaced(&config.models.normalization, preset.normalization);
    preset
}

/// Directories of the models of a preset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PresetDirectories {
    /// Name by which jobs ask for the preset.
    pub(crate) name: String,
    pub(crate) recognizer: ModelDirectory,
    pub(crate) vad: ModelDirectory,
    pub(crate) punctuation: Option<ModelDirectory>,
    pub(crate) speakers: Option<ModelDirectory>,
    /// Only where there are speakers.
    pub(crate) speaker_segmentation: Option<ModelDirectory>,
    pub(crate) normalization: Option<ModelDirectory>,
}

impl PresetDirectories {
    /// Finds the models of the preset `name`; of the optional ones, those that `options` ask for.
    pub(crate) async fn find(
        config: &Config,
        library: &Library,
        name: &str,
        options: BuildOptions,
        on_pull: OnPull<'_>,
    ) -> Result<Self, Error> {
        let preset = preset(config, library, name);
        let on_pull = options.pull.then_some(on_pull);
        let required =
            async |name: &str, role: Role| find(config, library, name, role, on_pull).await;
        let optional = async |name: Option<String>, needed: bool, role: Role| match name {
            Some(name) if needed => required(&name, role).await.map(Some),
            _ => Ok(None),
        };
        let recognizer = required(&preset.recognizer, Role::Recognizer).await?;
        // Any recognizer goes with any speaker model. It is not among the models of a preset such as
        // `whisper-base`, because most who pull it do not ask for speakers.
        let speakers = match (preset.speakers, &config.models.speakers) {
            (None, None) => Some(DEFAULT_SPEAKERS.to_owned()),
            (speakers, _) => speakers,
        };
        let speakers = optional(speakers, options.speakers, Role::Speakers).await?;
        let speaker_segmentation = match (preset.speaker_segmentation, &speakers) {
            (Some(name), Some(_)) if config.models.speaker_segmentation.is_some() => {
                Some(required(&name, Role::SpeakerSegmentation).await?)
            }
            (name, Some(_)) if config.models.speaker_segmentation.is_none() => {
                let name = name.unwrap_or_else(|| DEFAULT_SPEAKER_SEGMENTATION.to_owned());
                let failure = Failure::of(library, &name);
                let on_pull = on_pull.filter(|_| !failure.is_recent());
                let found = find(config, library, &name, Role::SpeakerSegmentation, on_pull).await;
                or_without(&name, found, &failure)?
            }
            _ => None,
        };
        Ok(Self {
            // A preset made for a directory takes the directory's name.
            name: if preset.name == preset.recognizer {
                recognizer.name.clone()
            } else {
                preset.name
            },
            recognizer,
            vad: required(&preset.vad, Role::VoiceActivity).await?,
            punctuation: optional(preset.punctuation, options.punctuation, Role::Punctuation)
                .await?,
            speakers,
            speaker_segmentation,
            normalization: optional(
                preset.normalization,
                options.normalization,
                Role::TextNormalization,
            )
            .await?,
        })
    }
}

/// Does without a segmentation model that nobody named and that cannot be had, and says what that costs: the
/// speaker model alone still tells speakers apart.
fn or_without(
    name: &str,
    found: Result<ModelDirectory, Error>,
    failure: &Failure,
) -> Result<Option<ModelDirectory>, Error> {
    match found {
        Err(Error::Models(
            error @ (models::Error::NotInstalled { .. } | models::Error::Fetch { .. }),
        )) => {
            if matches!(error, models::Error::Fetch { .. }) {
                failure.remember();
                tracing::info!(error = %Chain(&error), "{name} could not be pulled");
            }
            tracing::warn!(
                "speakers are distinguished without {name}: speech of several people at once and short \
                 turns are not; `scriptorium models pull {name}` gets it, and \
                 models.speaker_segmentation = \"none\" accepts that"
            );
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// That a model which nobody named could not be pulled, as a file beside the models says: on a machine without internet, each
/// run would wait again for what cannot come.
struct Failure(PathBuf);

impl Failure {
    /// Time after which the pull is tried again.
    const LASTS: Duration = Duration::from_secs(24 * 60 * 60);

    fn of(library: &Library, name: &str) -> Self {
        Self(library.root().join(format!(".{name}.not-pulled")))
    }

    /// Returns whether a pull has failed so recently that another one would, too.
    fn is_recent(&self) -> bool {
        let modified = self.0.metadata().and_then(|file| file.modified());
        // A time in the future is of a clock that was wrong.
        modified.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed < Self::LASTS))
    }

    fn remember(&self) {
        if let Err(error) = fs::write(&self.0, "") {
            tracing::debug!(file = %self.0.display(), %error, "cannot remember a failed pull");
        }
    }
}

/// Adds a preset unless it is present already. Jobs ask for presets by name, so two different
/// presets must not share one.
pub(crate) fn add_preset(
    presets: &mut Vec<PresetDirectories>,
    preset: PresetDirectories,
) -> Result<(), ConfigError> {
    match presets.iter().find(|other| other.name == preset.name) {
        None => presets.push(preset),
        Some(other) if *other == preset => {}
        Some(other) => {
            return Err(ConfigError::new(format!(
                "models.recognizer and models.also: {} and {} would both be called `{}`; rename one \
                 of the directories, or remove one of them",
                other.recognizer.path.display(),
                preset.recognizer.path.display(),
                preset.name,
            )));
        }
    }
    Ok(())
}

/// Finds the directory of a model and checks its role. A model that is not installed is pulled if
/// `on_pull` is given and the configuration allows it.
pub(crate) async fn find(
    config: &Config,
    library: &Library,
    name: &str,
    role: Role,
    on_pull: Option<OnPull<'_>>,
) -> Result<ModelDirectory, Error> {
    let opened = match (library.open(name), on_pull) {
        (
            Err(models::Error::NotInstalled { .. } | models::Error::NotConverted { .. }),
            Some(on_pull),
        ) if config.models.auto_pull => {
            services::pull(library, library.catalogue().get(name)?, on_pull).await?
        }
        (Err(unknown @ models::Error::Unknown { .. }), _) => {
            return Err(ConfigError::new(unknown.to_string()).into());
        }
        (opened, _) => opened?,
    };
    if opened.family.role() != role {
        return Err(wrong_role(name, opened.family, role).into());
    }
    Ok(opened)
}

/// The error for a model that is used in a role that its family does not have.
pub(crate) fn wrong_role(name: &str, family: Family, role: Role) -> ConfigError {
    let expected = match role {
        Role::Recognizer => "a recognizer",
        Role::VoiceActivity => "a voice activity detector",
        Role::Punctuation => "a punctuation model",
        Role::Speakers => "a speaker model",
        Role::SpeakerSegmentation => "a segmentation model of speakers",
        Role::TextNormalization => "text normalization",
    };
    ConfigError::new(format!("model `{name}` is of the family {family}, not {expected}"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use ::models::Catalogue;

    use super::*;

    /// A library in which models of the catalogue have files of the right size and no content.
    fn library(root: &std::path::Path, names: &[&str]) -> Library {
        let library = Library::new(root.to_owned(), Catalogue::builtin());
        for name in names {
            let entry = library.catalogue().get(name).unwrap();
            let directory = library.directory(entry);
            fs::create_dir(&directory).unwrap();
            for file in &entry.files {
                let size = file.size.unwrap();
                File::create(directory.join(&file.path)).unwrap().set_len(size).unwrap();
            }
            for converted in ["campplus.onnx", "model.onnx"] {
                let _ = File::create_new(directory.join(converted));
            }
        }
        library
    }

    #[test]
    fn a_pull_that_failed_is_remembered_for_a_day() {
        let root = tempfile::tempdir().unwrap();
        let failure = Failure::of(&library(root.path(), &[]), "a-model");
        assert!(!failure.is_recent());
        failure.remember();
        assert!(failure.is_recent());
        let file = File::options().write(true).open(&failure.0).unwrap();
        let now = std::time::SystemTime::now();
        file.set_modified(now - Failure::LASTS).unwrap();
        assert!(!failure.is_recent());
        file.set_modified(now + Failure::LASTS).unwrap();
        assert!(!failure.is_recent());
        // A library that cannot be written does without.
        Failure(root.path().join("missing/file")).remember();
    }

    #[tokio::test]
    async fn a_pull_that_failed_today_is_not_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let library = library(root.path(), &["whisper-base", "fsmn-vad", "campplus"]);
        Failure::of(&library, DEFAULT_SPEAKER_SEGMENTATION).remember();
        let config = Config::default();
        let options = BuildOptions { speakers: true, pull: true, ..BuildOptions::default() };
        let on_pull: OnPull<'_> = &|_| panic!("pulls");
        let found =
            PresetDirectories::find(&config, &library, "whisper-base", options, on_pull).await;
        assert_eq!(found.unwrap().speaker_segmentation, None);
    }

    async fn find_segmentation(
        config: &Config,
        library: &Library,
    ) -> Result<Option<String>, Error> {
        let options = BuildOptions { speakers: true, ..BuildOptions::default() };
        let found =
            PresetDirectories::find(config, library, "whisper-base", options, &|_| ()).await?;
        assert_eq!(found.speakers.is_some(), config.models.speakers.as_deref() != Some(NONE));
        Ok(found.speaker_segmentation.map(|model| model.name))
    }

    #[tokio::test]
    async fn speakers_do_without_a_segmentation_that_nobody_named() {
        let root = tempfile::tempdir().unwrap();
        let library = library(root.path(), &["whisper-base", "fsmn-vad", "campplus"]);
        let mut config = Config::default();
        assert_eq!(find_segmentation(&config, &library).await.unwrap(), None);
        config.models.speaker_segmentation = Some(NONE.to_owned());
        assert_eq!(find_segmentation(&config, &library).await.unwrap(), None);
        config.models.speaker_segmentation = Some(DEFAULT_SPEAKER_SEGMENTATION.to_owned());
        let error = find_segmentation(&config, &library).await.unwrap_err();
        assert!(matches!(error, Error::Models(models::Error::NotInstalled { .. })), "{error}");
        config.models.speaker_segmentation = Some("campplus".to_owned());
        let error = find_segmentation(&config, &library).await.unwrap_err().to_string();
        assert!(error.contains("not a segmentation model"), "{error}");
    }

    #[tokio::test]
    async fn an_installed_segmentation_goes_with_any_speaker_model() {
        let root = tempfile::tempdir().unwrap();
        let names = ["whisper-base", "fsmn-vad", "campplus", DEFAULT_SPEAKER_SEGMENTATION];
        let library = library(root.path(), &names);
        let mut config = Config::default();
        let default = Some(DEFAULT_SPEAKER_SEGMENTATION.to_owned());
        assert_eq!(find_segmentation(&config, &library).await.unwrap(), default);
        config.models.speakers = Some("campplus".to_owned());
        assert_eq!(find_segmentation(&config, &library).await.unwrap(), default);
        // What a pull without names fetches.
        assert_eq!(super::preset(&config, &library, "whisper-base").models()[2..], names[2..]);
        config.models.speakers = Some(NONE.to_owned());
        assert_eq!(find_segmentation(&config, &library).await.unwrap(), None);
        assert_eq!(super::preset(&config, &library, "paraformer-zh").speaker_segmentation, None);
        // A damaged model is not one that cannot be had.
        config.models.speakers = None;
        fs::remove_file(root.path().join(DEFAULT_SPEAKER_SEGMENTATION).join("pytorch_model.bin"))
            .unwrap();
        let error = find_segmentation(&config, &library).await.unwrap_err();
        assert!(matches!(error, Error::Models(models::Error::Damaged { .. })), "{error}");
    }

    fn preset(name: &str, path: &str) -> PresetDirectories {
        let model = |name: &str, family, path: &str| ModelDirectory {
            name: name.to_owned(),
            family,
            path: path.into(),
        };
        PresetDirectories {
            name: name.to_owned(),
            recognizer: model(name, Family::Paraformer, path),
            vad: model("fsmn-vad", Family::FsmnVad, "/m/fsmn-vad"),
            punctuation: None,
            speakers: None,
            speaker_segmentation: None,
            normalization: None,
        }
    }

    #[test]
    fn two_presets_with_one_name_are_refused_and_both_directories_named() {
        let mut presets = Vec::new();
        add_preset(&mut presets, preset("model", "/m/v2/model")).unwrap();
        add_preset(&mut presets, preset("other", "/m/other")).unwrap();
        // The same preset again.
        add_preset(&mut presets, preset("model", "/m/v2/model")).unwrap();
        assert_eq!(presets.len(), 2);
        let error = add_preset(&mut presets, preset("model", "/m/v1/model")).unwrap_err();
        let error = error.to_string();
        for word in ["/m/v2/model", "/m/v1/model", "`model`"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
