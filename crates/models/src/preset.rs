//! Presets: names for models that work together.

use serde::{Deserialize, Serialize};

use crate::{Catalogue, DEFAULT_VAD, Role};

/// Models that work together, under one name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Names of models in the catalogue.
    pub recognizer: String,
    #[serde(default = "default_vad")]
    pub vad: String,
    #[serde(default)]
    pub punctuation: Option<String>,
    #[serde(default)]
    pub speakers: Option<String>,
    /// Says when how many speak, for speakers.
    #[serde(default)]
    pub speaker_segmentation: Option<String>,
    /// Writes numbers, dates and money as digits, for jobs that ask for it.
    #[serde(default)]
    pub normalization: Option<String>,
    /// As in [`crate::Entry::languages`].
    #[serde(default)]
    pub languages: Vec<String>,
}

fn default_vad() -> String {
    DEFAULT_VAD.to_owned()
}

impl Preset {
    /// Creates a preset of a recognizer, by its name or by its directory, with the default VAD.
    pub fn of_model(recognizer: &str) -> Self {
        Self {
            name: recognizer.to_owned(),
            description: String::new(),
            recognizer: recognizer.to_owned(),
            vad: default_vad(),
            punctuation: None,
            speakers: None,
            speaker_segmentation: None,
            normalization: None,
            languages: Vec::new(),
        }
    }

    /// Returns the names of its models, the recognizer first and the VAD second.
    pub fn models(&self) -> Vec<&str> {
        let Self { recognizer, vad, punctuation, speakers, .. } = self;
        let others = [punctuation, speakers, &self.speaker_segmentation, &self.normalization];
        let others = others.into_iter().flatten();
        [recognizer, vad].into_iter().chain(others).map(String::as_str).collect()
    }
}

impl Catalogue {
    /// Returns the preset of this name. A recognizer that no preset is named after, such as
    /// `whisper-small.en`, is a preset of itself with the default VAD.
    pub fn preset(&self, name: &str) -> Option<Preset> {
        if let Some(preset) = self.presets.iter().find(|preset| preset.name == name) {
            return Some(preset.clone());
        }
        let entry = self.get(name).ok()?;
        (entry.family.role() == Role::Recognizer).then(|| Preset {
            description: entry.description.clone(),
            languages: entry.languages.clone(),
            ..Preset::of_model(name)
        })
    }

    /// Checks that each preset names existing models, each in its own role.
    pub(crate) fn check_presets(&self) -> Result<(), String> {
        for (index, preset) in self.presets.iter().enumerate() {
            let fail = |message: String| Err(format!("preset `{}`: {message}", preset.name));
            if self.presets[..index].iter().any(|other| other.name == preset.name) {
                return fail("it is defined twice".into());
            }
            let models = [
                (Some(&preset.recognizer), Role::Recognizer),
                (Some(&preset.vad), Role::VoiceActivity),
                (preset.punctuation.as_ref(), Role::Punctuation),
                (preset.speakers.as_ref(), Role::Speakers),
                (preset.speaker_segmentation.as_ref(), Role::SpeakerSegmentation),
                (preset.normalization.as_ref(), Role::TextNormalization),
            ];
            for (model, role) in models {
                let Some(model) = model else { continue };
                match self.models.iter().find(|entry| entry.name == *model) {
                    None => return fail(format!("the model `{model}` does not exist")),
                    Some(entry) if entry.family.role() != role => {
                        return fail(format!(
                            "`{model}` is a model for {}, not for {role}",
                            entry.family.role()
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEFAULT_SPEAKER_SEGMENTATION, Error, Family};

    #[test]
    fn presets_name_models_of_the_catalogue() {
        let catalogue = Catalogue::builtin();
        let preset = catalogue.preset("paraformer-zh").unwrap();
        assert_eq!(catalogue.get(&preset.recognizer).unwrap().family, Family::Paraformer);
        let punctuation = catalogue.get(preset.punctuation.as_deref().unwrap()).unwrap();
        assert_eq!(punctuation.family, Family::CtTransformer);
        let speakers = catalogue.get(preset.speakers.as_deref().unwrap()).unwrap();
        assert_eq!(speakers.family, Family::CamPlusPlus);
        for preset in catalogue.presets.iter().filter(|preset| preset.speakers.is_some()) {
            let segmentation = preset.speaker_segmentation.as_deref();
            assert_eq!(segmentation, Some(DEFAULT_SPEAKER_SEGMENTATION), "{}", preset.name);
        }
        assert_eq!(preset.models()[..2], [preset.recognizer.as_str(), DEFAULT_VAD]);
        for preset in &catalogue.presets {
            assert_eq!(catalogue.preset(&preset.name).as_ref(), Some(preset));
        }
    }

    #[test]
    fn a_recognizer_is_a_preset_of_itself() {
        let catalogue = Catalogue::builtin();
        let preset = catalogue.preset("whisper-small.en").unwrap();
        assert_eq!(preset.models(), ["whisper-small.en", DEFAULT_VAD]);
        assert_eq!(preset.languages, ["en"]);
        for name in ["fsmn-vad", "nothing", ""] {
            assert_eq!(catalogue.preset(name), None, "{name}");
        }
    }

    #[test]
    fn presets_of_missing_or_wrong_models_are_refused() {
        let text = |preset: &str| {
            let text = include_str!("../catalogue.toml");
            let (models, _) = text.split_once("[[preset]]").unwrap();
            Catalogue::parse(&format!("[[preset]]\nname = 'p'\n{preset}\n{models}"))
        };
        assert!(text("recognizer = 'whisper-tiny'").is_ok());
        for preset in [
            "recognizer = 'nothing'",
            "recognizer = 'fsmn-vad'",
            "recognizer = 'whisper-tiny'\nvad = 'whisper-tiny'",
            "recognizer = 'whisper-tiny'\nspeakers = 'fsmn-vad'",
            "recognizer = 'whisper-tiny'\nspeaker_segmentation = 'campplus'",
            "recognizer = 'whisper-tiny'\nsize = 1",
            "recognizer = 'whisper-tiny'\n[[preset]]\nname = 'p'\nrecognizer = 'whisper-tiny'",
        ] {
            let error = text(preset).unwrap_err();
            assert!(
                matches!(error, Error::Catalogue(_) | Error::CatalogueSyntax(_)),
                "{preset}: {error}"
            );
        }
    }
}
