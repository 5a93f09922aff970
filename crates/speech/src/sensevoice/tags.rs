//! The model's tags: language, emotion, and sound events.

/// Emotions in the order and with the names of FunASR's `emo_dict`; the first wins a tie.
const EMOTIONS: [&str; 7] =
    ["NEUTRAL", "HAPPY", "SAD", "ANGRY", "FEARFUL", "DISGUSTED", "SURPRISED"];
/// Sounds other than speech. `Speech`, `Event_UNK` and `GBG` carry no information.
const EVENTS: [&str; 9] =
    ["BGM", "Applause", "Laughter", "Cry", "Sneeze", "Breath", "Cough", "Sing", "Speech_Noise"];
pub(super) const LANGUAGES: [&str; 5] = ["zh", "en", "yue", "ja", "ko"];
const NO_SPEECH: &str = "nospeech";

/// The tags of one segment, in order.
#[derive(Debug, Default)]
pub(super) struct Tags<'a>(Vec<&'a str>);

impl<'a> FromIterator<&'a str> for Tags<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(tags: I) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl Tags<'_> {
    /// Returns whether nobody speaks.
    pub(super) fn no_speech(&self) -> bool {
        self.languages().next() == Some(NO_SPEECH)
    }

    /// Returns the first language among the tags.
    pub(super) fn language(&self) -> Option<&str> {
        self.languages().next().filter(|&tag| tag != NO_SPEECH)
    }

    fn languages(&self) -> impl Iterator<Item = &str> {
        self.0.iter().copied().filter(|tag| LANGUAGES.contains(tag) || *tag == NO_SPEECH)
    }

    /// Returns the most frequent emotion, in lower case.
    pub(super) fn emotion(&self) -> Option<String> {
        let count = |emotion: &str| self.0.iter().filter(|tag| **tag == emotion).count();
        let (_, emotion) = EMOTIONS
            .iter()
            .map(|emotion| (count(emotion), emotion))
            .rev()
            .max_by_key(|(count, _)| *count)
            .filter(|(count, _)| *count > 0)?;
        Some(emotion.to_ascii_lowercase())
    }

    /// Returns the first sound other than speech, in lower case with hyphens.
    pub(super) fn event(&self) -> Option<String> {
        let event = self.0.iter().find(|tag| EVENTS.contains(tag))?;
        Some(event.to_ascii_lowercase().replace('_', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_give_language_emotion_and_event() {
        for (tags, language, emotion, event) in [
            ("zh HAPPY BGM withitn", Some("zh"), Some("happy"), Some("bgm")),
            ("yue NEUTRAL Speech woitn", Some("yue"), Some("neutral"), None),
            ("en EMO_UNKNOWN Event_UNK woitn", Some("en"), None, None),
            ("nospeech EMO_UNKNOWN Laughter woitn", None, None, Some("laughter")),
            ("ja SAD Speech_Noise", Some("ja"), Some("sad"), Some("speech-noise")),
            // As in FunASR, an emotion more frequent than neutral wins.
            ("ko NEUTRAL HAPPY ANGRY ANGRY Cough Cry", Some("ko"), Some("angry"), Some("cough")),
            ("ko HAPPY NEUTRAL", Some("ko"), Some("neutral"), None),
            ("en SURPRISED SAD", Some("en"), Some("sad"), None),
            ("SPECIAL_TOKEN_1", None, None, None),
            ("", None, None, None),
        ] {
            let found: Tags = tags.split_whitespace().collect();
            assert_eq!(found.language(), language, "{tags}");
            assert_eq!(found.emotion().as_deref(), emotion, "{tags}");
            assert_eq!(found.event().as_deref(), event, "{tags}");
            assert_eq!(found.no_speech(), tags.starts_with("nospeech"), "{tags}");
        }
    }
}
