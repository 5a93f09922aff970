//! Names of languages as OpenAI's API gives them.

/// Codes of the languages that Whisper knows, in order, and their names.
#[rustfmt::skip]
const NAMES: [(&str, &str); 100] = [
    ("af", "afrikaans"), ("am", "amharic"), ("ar", "arabic"), ("as", "assamese"),
    ("az", "azerbaijani"), ("ba", "bashkir"), ("be", "belarusian"), ("bg", "bulgarian"),
    ("bn", "bengali"), ("bo", "tibetan"), ("br", "breton"), ("bs", "bosnian"), ("ca", "catalan"),
    ("cs", "czech"), ("cy", "welsh"), ("da", "danish"), ("de", "german"), ("el", "greek"),
    ("en", "english"), ("es", "spanish"), ("et", "estonian"), ("eu", "basque"), ("fa", "persian"),
    ("fi", "finnish"), ("fo", "faroese"), ("fr", "french"), ("gl", "galician"), ("gu", "gujarati"),
    ("ha", "hausa"), ("haw", "hawaiian"), ("he", "hebrew"), ("hi", "hindi"), ("hr", "croatian"),
    ("ht", "haitian creole"), ("hu", "hungarian"), ("hy", "armenian"), ("id", "indonesian"),
    ("is", "icelandic"), ("it", "italian"), ("ja", "japanese"), ("jw", "javanese"),
    ("ka", "georgian"), ("kk", "kazakh"), ("km", "khmer"), ("kn", "kannada"), ("ko", "korean"),
    ("la", "latin"), ("lb", "luxembourgish"), ("ln", "lingala"), ("lo", "lao"),
    ("lt", "lithuanian"), ("lv", "latvian"), ("mg", "malagasy"), ("mi", "maori"),
    ("mk", "macedonian"), ("ml", "malayalam"), ("mn", "mongolian"), ("mr", "marathi"),
    ("ms", "malay"), ("mt", "maltese"), ("my", "myanmar"), ("ne", "nepali"), ("nl", "dutch"),
    ("nn", "nynorsk"), ("no", "norwegian"), ("oc", "occitan"), ("pa", "punjabi"), ("pl", "polish"),
    ("ps", "pashto"), ("pt", "portuguese"), ("ro", "romanian"), ("ru", "russian"),
    ("sa", "sanskrit"), ("sd", "sindhi"), ("si", "sinhala"), ("sk", "slovak"), ("sl", "slovenian"),
    ("sn", "shona"), ("so", "somali"), ("sq", "albanian"), ("sr", "serbian"), ("su", "sundanese"),
    ("sv", "swedish"), ("sw", "swahili"), ("ta", "tamil"), ("te", "telugu"), ("tg", "tajik"),
    ("th", "thai"), ("tk", "turkmen"), ("tl", "tagalog"), ("tr", "turkish"), ("tt", "tatar"),
    ("uk", "ukrainian"), ("ur", "urdu"), ("uz", "uzbek"), ("vi", "vietnamese"), ("yi", "yiddish"),
    ("yo", "yoruba"), ("yue", "cantonese"), ("zh", "chinese"),
];

/// Returns the name of a language in English, in lower case.
pub(super) fn name(code: &str) -> Option<&'static str> {
    let index = NAMES.binary_search_by_key(&code, |&(code, _)| code).ok()?;
    NAMES.get(index).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|&(code, expected)| name(code) == Some(expected)));
        assert_eq!((name("yue"), name("xx")), (Some("cantonese"), None));
    }
}
