//! Languages and their scripts. The model chooses the language from the sound and cannot be told it; what
//! can be done is to forbid pieces of scripts that a language is not written in.

use std::collections::HashSet;

use super::vocabulary::Piece;

/// A script of European languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Greek,
}

/// Languages of Parakeet-TDT 0.6b v3: code, script, and letters without which a vocabulary is not one of the
/// language. Letters that v3's lacks (`ё`) are not among them.
const LANGUAGES: [(&str, Script, &str); 25] = [
    ("bg", Script::Cyrillic, "бжщъ"),
    ("cs", Script::Latin, "ěřů"),
    ("da", Script::Latin, "æøå"),
    ("de", Script::Latin, "äöüß"),
    ("el", Script::Greek, "ασωή"),
    ("en", Script::Latin, "ae"),
    ("es", Script::Latin, "ñáó"),
    ("et", Script::Latin, "äõöü"),
    ("fi", Script::Latin, "äö"),
    ("fr", Script::Latin, "çèêé"),
    ("hr", Script::Latin, "čćđšž"),
    ("hu", Script::Latin, "őű"),
    ("it", Script::Latin, "àèìòù"),
    ("lt", Script::Latin, "ąėįų"),
    ("lv", Script::Latin, "āēģķļņ"),
    ("mt", Script::Latin, "ċġħż"),
    ("nl", Script::Latin, "ëïé"),
    ("pl", Script::Latin, "ąęłńśź"),
    ("pt", Script::Latin, "ãõç"),
    ("ro", Script::Latin, "ăâî"),
    ("ru", Script::Cyrillic, "ыэъ"),
    ("sk", Script::Latin, "ľĺŕ"),
    ("sl", Script::Latin, "čšž"),
    ("sv", Script::Latin, "äöå"),
    ("uk", Script::Cyrillic, "іїє"),
];

/// Returns the codes of the languages that the pieces can write.
pub(super) fn languages(pieces: &[Piece]) -> Vec<String> {
    let texts = pieces.iter().filter_map(Piece::text);
    let letters: HashSet<char> = texts.flat_map(str::chars).collect();
    let written =
        LANGUAGES.iter().filter(|(_, _, needed)| needed.chars().all(|c| letters.contains(&c)));
    written.map(|(code, _, _)| (*code).to_owned()).collect()
}

/// Pieces that text in each script cannot have.
pub(super) struct Masks([(Script, Vec<bool>); 3]);

impl Masks {
    pub(super) fn new(pieces: &[Piece]) -> Self {
        Self([Script::Latin, Script::Cyrillic, Script::Greek].map(|own| {
            let is_foreign = |letter: char| script(letter).is_some_and(|script| script != own);
            let foreign =
                |piece: &Piece| piece.text().is_some_and(|text| text.contains(is_foreign));
            let forbidden: Vec<bool> = pieces.iter().map(foreign).collect();
            (own, if forbidden.contains(&true) { forbidden } else { Vec::new() })
        }))
    }

    /// Returns for each piece whether text in the language cannot have it, because it has a letter of
    /// another script; nothing if no piece has one, or if the language is not known.
    pub(super) fn forbidden(&self, language: Option<&str>) -> &[bool] {
        let known = LANGUAGES.iter().find(|(code, _, _)| Some(*code) == language);
        let mask = known.and_then(|(_, own, _)| self.0.iter().find(|(script, _)| script == own));
        mask.map_or(&[], |(_, forbidden)| forbidden)
    }
}

/// Returns the script of a letter, `None` for digits and marks, and for letters of others.
fn script(letter: char) -> Option<Script> {
    match letter {
        'A'..='Z' | 'a'..='z' => Some(Script::Latin),
        // Latin-1's letters to Latin Extended-B, and Latin Extended Additional.
        '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' if letter.is_alphabetic() => {
            Some(Script::Latin)
        }
        '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' if letter.is_alphabetic() => {
            Some(Script::Greek)
        }
        '\u{400}'..='\u{52F}' => Some(Script::Cyrillic),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&str]) -> Vec<Piece> {
        texts.iter().map(|&text| Piece::Text(text.to_owned())).collect()
    }

    #[test]
    fn a_vocabulary_has_the_languages_that_it_can_write() {
        let english = "abcdefghijklmnopqrstuvwxyz',.?";
        assert_eq!(languages(&pieces(&[english])), ["en"]);
        assert_eq!(languages(&pieces(&[english, "äö", " ü", "ß"])), ["de", "en", "fi"]);
        let all: String = LANGUAGES.iter().map(|(_, _, letters)| *letters).collect();
        assert_eq!(languages(&pieces(&[&all])).len(), 25);
        assert_eq!(languages(&pieces(&["1", "。", "语"])), Vec::<String>::new());
        assert_eq!(languages(&[Piece::Special, Piece::Unknown]), Vec::<String>::new());
    }

    #[test]
    fn pieces_of_other_scripts_are_forbidden() {
        let mut pieces = pieces(&["the", " é", "Ж", " λ", "7", ",", " "]);
        pieces.extend([Piece::Unknown, Piece::Special]);
        let masks = Masks::new(&pieces);
        let forbidden = |language: Option<&str>| {
            let flags = masks.forbidden(language).iter().enumerate();
            flags.filter(|(_, flag)| **flag).map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(forbidden(Some("fr")), [2, 3]);
        assert_eq!(forbidden(Some("uk")), [0, 1, 3]);
        assert_eq!(forbidden(Some("el")), [0, 1, 2]);
        assert!(forbidden(Some("zh")).is_empty());
        assert!(forbidden(None).is_empty());
        assert!(Masks::new(&pieces[..2]).forbidden(Some("pl")).is_empty(), "nothing to forbid");
    }
}
