//! Chooses one of the audio tracks of a recording.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::language;

/// Which audio track to decode.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TrackChoice {
    /// By number, counted from 1 over the audio tracks in the order of the file.
    Number(usize),
    /// The first one in this language: a code of two or three letters.
    Language(String),
    /// Every track, for callers that open one decoder for each; a decoder alone takes the default track.
    All,
}

impl FromStr for TrackChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MAX_NUMBER: usize = 999;
        let is_code = matches!(text.len(), 2 | 3) && text.bytes().all(|b| b.is_ascii_lowercase());
        match text.parse() {
            Ok(number @ 1..=MAX_NUMBER) => Ok(Self::Number(number)),
            // So the language Allar cannot be chosen by its code.
            _ if text == "all" => Ok(Self::All),
            _ if is_code => Ok(Self::Language(text.to_owned())),
            _ => Err(format!(
                "{text:?} is neither the number of an audio track (from 1), nor the code of a \
                 language (`en`, `deu`), nor `all`"
            )),
        }
    }
}

impl fmt::Display for TrackChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Language(code) => f.write_str(code),
            Self::All => f.write_str("all"),
        }
    }
}

/// An audio track, as far as its container describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AudioTrack {
    /// The container's id.
    pub(crate) id: u32,
    /// Counted from 1 over the audio tracks.
    pub(crate) number: usize,
    pub(crate) language: Option<String>,
    /// Name of the codec for people.
    pub(crate) codec: String,
    pub(crate) is_default: bool,
}

impl fmt::Display for AudioTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let language = self.language.as_deref().unwrap_or("language unknown");
        write!(f, "{} ({language}, {})", self.number, self.codec)
    }
}

/// The chosen track.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) index: usize,
    pub(crate) warnings: Vec<String>,
}

/// Chooses the track that is asked for; without a choice the default track, else the first that
/// `check` finds to be decodable.
///
/// # Errors
///
/// Fails if there is no such track, or with the error of `check` for the first one that was tried.
pub(crate) fn choose(
    tracks: &[AudioTrack],
    choice: Option<&TrackChoice>,
    check: impl Fn(&AudioTrack) -> Result<(), Error>,
) -> Result<Chosen, Error> {
    let mut first_error = None;
    let mut refused = Vec::new();
    for index in candidates(tracks, choice) {
        let track = &tracks[index];
        match check(track) {
            Ok(()) => {
                let wants_all = choice == Some(&TrackChoice::All);
                let warnings = if refused.is_empty() || wants_all {
                    Vec::new()
                } else {
                    let refused = list(refused.into_iter());
                    vec![format!(
                        "audio track {track} was transcribed, because {refused} cannot be decoded \
                         (`--audio-track` chooses another)"
                    )]
                };
                return Ok(Chosen { index, warnings });
            }
            Err(error) => {
                first_error.get_or_insert(error);
                refused.push(track);
            }
        }
    }
    let missing = || Error::NoSuchTrack {
        wanted: choice.map(ToString::to_string).unwrap_or_default(),
        available: list(tracks.iter()),
    };
    Err(first_error.unwrap_or_else(missing))
}

/// Returns the indices of the tracks to try, in order.
fn candidates(tracks: &[AudioTrack], choice: Option<&TrackChoice>) -> Vec<usize> {
    let all = 0..tracks.len();
    match choice {
        Some(TrackChoice::Number(number)) => {
            all.filter(|&index| tracks[index].number == *number).collect()
        }
        Some(TrackChoice::Language(code)) => all
            .filter(|&index| {
                tracks[index].language.as_deref().is_some_and(|own| language::matches(own, code))
            })
            .collect(),
        None | Some(TrackChoice::All) => {
            let default = all.clone().find(|&index| tracks[index].is_default);
            let others = all.filter(|&index| Some(index) != default);
            default.into_iter().chain(others).collect()
        }
    }
}

/// Returns a warning for a silent track if there are others.
pub(crate) fn silence_warning(tracks: &[AudioTrack], chosen: usize) -> Option<String> {
    let others = list(tracks.iter().filter(|track| track.number != chosen));
    (tracks.len() > 1 && tracks.iter().any(|track| track.number == chosen)).then(|| {
        format!(
            "audio track {chosen} is silent; there are others: {others} (`--audio-track` chooses one)"
        )
    })
}

fn list<'a>(tracks: impl Iterator<Item = &'a AudioTrack>) -> String {
    /// Tracks that are named; a container may declare thousands.
    const MAX_NAMED: usize = 8;
    let names: Vec<String> = tracks.map(ToString::to_string).collect();
    match names.len() {
        0 => "none".to_owned(),
        1..=MAX_NAMED => names.join(", "),
        count => format!("{} and {} more", names[..MAX_NAMED].join(", "), count - MAX_NAMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(number: usize, language: &str, codec: &str, is_default: bool) -> AudioTrack {
        let language = (!language.is_empty()).then(|| language.to_owned());
        AudioTrack { id: number as u32, number, language, codec: codec.into(), is_default }
    }

    fn pick(choice: Option<&str>) -> Result<(usize, Vec<String>), String> {
        let tracks = [
            track(1, "eng", "AC-3", true),
            track(2, "", "AAC", false),
            track(3, "de", "AAC", false),
        ];
        let choice = choice.map(|text| text.parse().unwrap_or(TrackChoice::Number(0)));
        let check = |track: &AudioTrack| match track.codec.as_str() {
            "AC-3" => Err(Error::unsupported("AC-3")),
            _ => Ok(()),
        };
        let chosen = choose(&tracks, choice.as_ref(), check).map_err(|e| e.to_string())?;
        Ok((chosen.index, chosen.warnings))
    }

    #[test]
    fn takes_the_default_track_or_the_first_that_decodes() {
        let (index, warnings) = pick(None).unwrap_or_default();
        assert_eq!(index, 1);
        assert!(warnings[0].contains("track 2 (language unknown, AAC)"), "{warnings:?}");
        assert!(warnings[0].contains("1 (eng, AC-3) cannot be decoded"), "{warnings:?}");
        let tracks = [track(1, "", "a", false), track(2, "", "b", true)];
        let chosen = choose(&tracks, None, |_| Ok(())).map(|chosen| chosen.index);
        assert_eq!(chosen.ok(), Some(1));
    }

    #[test]
    fn takes_the_track_that_is_asked_for() {
        assert_eq!(pick(Some("3")), Ok((2, Vec::new())));
        assert_eq!(pick(Some("deu")), Ok((2, Vec::new())));
        assert_eq!(pick(Some("ger")), Ok((2, Vec::new())));
        assert!(pick(Some("1")).is_err_and(|e| e.contains("AC-3")), "no other instead");
        for missing in ["4", "fr"] {
            let error = pick(Some(missing)).err().unwrap_or_default();
            assert!(error.contains(missing) && error.contains("1 (eng, AC-3)"), "{error}");
        }
    }

    #[test]
    fn a_choice_is_a_number_or_a_code() {
        assert_eq!("2".parse(), Ok(TrackChoice::Number(2)));
        assert_eq!("en".parse(), Ok(TrackChoice::Language("en".into())));
        for wrong in ["0", "-1", "1000", "", "english", "EN", "e", "1a"] {
            assert!(wrong.parse::<TrackChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_silent_track_is_worth_a_warning_if_there_are_others() {
        let tracks = [track(1, "", "AAC", true), track(2, "en", "AAC", false)];
        let warning = silence_warning(&tracks, 1).unwrap_or_default();
        assert!(warning.contains("track 1 is silent") && warning.contains("2 (en, AAC)"));
        assert_eq!(silence_warning(&tracks[..1], 1), None);
        let many: Vec<_> = (1..2000).map(|n| track(n, "", "AAC", false)).collect();
        assert!(silence_warning(&many, 1).is_some_and(|warning| warning.len() < 500));
    }
}
