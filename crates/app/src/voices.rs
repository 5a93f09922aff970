//! Opens the models that make voice prints.

use std::sync::Arc;

use ::models::{DEFAULT_SPEAKERS, Library, Role};
use speech::{
    speakers::SpeakerEncoder,
    vad::{FsmnVad, VoiceActivityDetector},
};

use crate::{Config, ConfigError, Error, OnPull, compute::instruction_sets, presets, services};

/// The models that make voice prints.
pub struct VoiceModels {
    /// Finds the speech in recordings.
    pub vad: Arc<dyn VoiceActivityDetector>,
    /// Computes the embeddings of voices.
    pub encoder: Arc<SpeakerEncoder>,
}

/// Opens the voice activity detector and the speaker encoder of the default preset, and pulls what is not
/// installed, if the configuration allows it. They are the models that transcriptions compare the prints with.
///
/// # Errors
/// [`Error::Config`] if a model is unknown, has another role, or is `none`; the other kinds if one cannot be
/// pulled or opened.
pub async fn open_voice_models(config: &Config, on_pull: OnPull<'_>) -> Result<VoiceModels, Error> {
    instruction_sets()?;
    let library: Library = services::library(config)?;
    let preset = presets::preset(config, &library, &config.models.recognizer);
    let speakers = match (preset.speakers, &config.models.speakers) {
        (Some(speakers), _) => speakers,
        (None, None) => DEFAULT_SPEAKERS.to_owned(),
        (None, Some(none)) => {
            let message = format!(
                "models.speakers is `{none}`: voice prints need a speaker model, such as {DEFAULT_SPEAKERS}"
            );
            return Err(ConfigError::new(message).into());
        }
    };
    let find =
        async |name: &str, role| presets::find(config, &library, name, role, Some(on_pull)).await;
    let vad = find(&preset.vad, Role::VoiceActivity).await?;
    let speakers = find(&speakers, Role::Speakers).await?;
    let open = move || {
        Ok::<_, Error>(VoiceModels {
            vad: Arc::new(FsmnVad::open(&vad.path)?),
            encoder: Arc::new(SpeakerEncoder::open(&speakers.path, &speakers.name)?),
        })
    };
    tokio::task::spawn_blocking(open).await.map_err(Error::Panicked)?
}
