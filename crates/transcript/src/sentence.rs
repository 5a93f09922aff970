//! Tells where sentences and clauses end: a period after `Mr`, an initial or an ordinal number ends none.

/// How a text ends, if it ends with a punctuation mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A sentence.
    Sentence,
    /// A clause, or an abbreviation that may end a sentence.
    Clause,
    /// An abbreviation, initial or number that belongs to the next word.
    Bound,
}

/// Languages that write ordinal numbers with a period: `am 3. Mai`.
const ORDINAL_PERIOD: &[&str] = &[
    "de", "lb", "da", "no", "nb", "nn", "is", "fi", "et", "lv", "cs", "sk", "pl", "hu", "hr", "sl",
    "sr", "bs", "tr",
];

/// Abbreviations, in lower case and without their last period, that stand before a name or another
/// word and never end a sentence.
const BEFORE_NAME: &[&str] = &[
    // English
    "mr", "mrs", "ms", "dr", "prof", "st", "rev", "hon", "gen", "col", "maj", "capt", "cpt", "lt",
    "cmdr", "sgt", "gov", "sen", "rep", "mt", "vs", "e.g", "i.e", "viz", "cf", "approx", "ca",
    "messrs", // German
    "hr", "hrn", "fr", "frl", "z.b", "d.h", "bzw", "evtl", "ggf", "inkl", "sog", "vgl", "geb",
    "dipl", "ing", "dr.-ing", "mag", "zzgl", "u.a", // French
    "mme", "mmes", "mlle", "mgr", "mm", "me", // Spanish and Portuguese
    "sr", "sra", "srta", "sres", "dra", "profa", "ud", "uds", "vd", "d.ª", // Italian
    "sig", "sigg", "dott", "avv", "arch", // Dutch
    "dhr", "mevr", "mw", "bijv", "d.w.z", // Russian
    "г", "ул", "проф", "акад", "им",
];

/// Abbreviations that stand before a number, and are words otherwise: `No. 5`, but `No. I will not.`
const BEFORE_NUMBER: &[&str] = &[
    "no", "nos", "nr", "nrn", "vol", "fig", "figs", "abb", "ch", "chap", "kap", "sec", "art", "p",
    "pp", "pg", "par", "abs", "bd", "tel", "op", "n", "núm", "pág", "cap",
];

/// Abbreviations that may also end a sentence.
const ANYWHERE: &[&str] = &[
    "etc", "inc", "ltd", "co", "corp", "bros", "jr", "esq", "al", "ff", "jan", "feb", "aug",
    "sept", "oct", "nov", "dec", "usw", "str", "mio", "mrd", "т.е", "т.д", "т.п", "др",
];

/// Returns how `text` ends, where `next` follows it. `language` is a code such as `en`.
pub fn ending(text: &str, next: &str, language: Option<&str>) -> Option<Ending> {
    let text = text.trim_end().trim_end_matches(is_closing);
    let continues = next.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
    match text.chars().next_back()? {
        '.' if text.ends_with("..") => Some(ellipsis(next, continues)),
        '…' => Some(ellipsis(next, continues)),
        '.' => Some(after_period(text, next, continues, language)),
        '!' | '?' | '‼' | '⁇' | '⁈' | '⁉' if continues => Some(Ending::Clause),
        '!' | '?' | '‼' | '⁇' | '⁈' | '⁉' | '。' | '！' | '？' | '．' | '｡' | '؟' | '۔' | '।'
        | '॥' | '։' | '።' | '។' => Some(Ending::Sentence),
        ',' | ';' | ':' | '–' | '—' | '―' | '，' | '、' | '；' | '：' | '､' | '،' | '؛' | '፣' => {
            Some(Ending::Clause)
        }
        // A hyphen that stands alone is a dash.
        '-' if text.ends_with(" -") => Some(Ending::Clause),
        _ => None,
    }
}

/// Returns whether a mark may close a sentence after its period.
pub(crate) fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '›' | '」' | '』' | '》' | '）' | '】' | '“'
    )
}

fn ellipsis(next: &str, continues: bool) -> Ending {
    if continues || next.starts_with(['.', '…']) { Ending::Clause } else { Ending::Sentence }
}

fn after_period(text: &str, next: &str, continues: bool, language: Option<&str>) -> Ending {
    let last = text.rsplit(char::is_whitespace).next().unwrap_or(text);
    let word = last.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end_matches('.');
    let lower = word.to_lowercase();
    let listed = |list: &[&str]| list.contains(&lower.as_str());
    let before_digit = next.starts_with(|c: char| c.is_ascii_digit());
    if listed(BEFORE_NAME) || (before_digit && listed(BEFORE_NUMBER)) {
        return Ending::Bound;
    }
    let ordinal = language.is_some_and(|language| ORDINAL_PERIOD.contains(&language));
    if ordinal && word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ending::Bound;
    }
    let mut parts = word.split('.').map(|part| part.chars().count());
    if parts.all(|letters| letters == 1) && word.starts_with(char::is_alphabetic) {
        return match word {
            // `Neither do I.`
            "I" if !continues && language.is_none_or(|language| language == "en") => {
                Ending::Sentence
            }
            // `U.S.`, `a.m.`: these do end sentences.
            _ if word.contains('.') => Ending::Clause,
            _ if word.starts_with(char::is_uppercase) => Ending::Bound,
            // `3 m.`
            _ => Ending::Clause,
        };
    }
    if continues || listed(ANYWHERE) { Ending::Clause } else { Ending::Sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_and_initials_end_no_sentence() {
        for (text, next) in [
            ("And Mr.", "Smith"),
            ("(Dr.", "Watson"),
            ("J.", "Smith"),
            ("z.B.", "Äpfel"),
            ("No.", "5"),
            ("e.g.", "London"),
        ] {
            assert_eq!(ending(text, next, Some("en")), Some(Ending::Bound), "{text} {next}");
        }
        assert_eq!(ending("am 3.", "Mai", Some("de")), Some(Ending::Bound));
        for (text, next) in [
            ("the U.S.", "Army"),
            ("of 3 m.", "No"),
            ("at 5 p.m.", "He"),
            ("apples, etc.", "And"),
            ("so.", "he said"),
        ] {
            assert_eq!(ending(text, next, Some("en")), Some(Ending::Clause), "{text} {next}");
        }
    }

    #[test]
    fn sentences_end_with_their_marks_and_what_closes_them() {
        for (text, next) in [
            ("man.", "Unless"),
            ("No.", "I will not"),
            ("Neither do I.", "We"),
            ("in 1950.", "Then"),
            ("he said.”", "Then"),
            ("Why?", "Because"),
            ("well...", "Then"),
            ("你好。", "再见"),
            ("؟كيف حالك؟", "أنا"),
            ("done.)", "Next"),
        ] {
            assert_eq!(ending(text, next, Some("en")), Some(Ending::Sentence), "{text} {next}");
        }
        for (text, next) in [
            ("“Why?”", "he asked"),
            ("well...", "maybe"),
            ("breathing...", "...but"),
            ("one,", "Two"),
        ] {
            assert_eq!(ending(text, next, Some("en")), Some(Ending::Clause), "{text} {next}");
        }
        assert_eq!(ending("cold-", "hearted", Some("en")), None);
        assert_eq!(ending("word", "word", None), None);
        assert_eq!(ending("", "", None), None);
    }
}
