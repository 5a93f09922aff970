//! Articles, prepositions, conjunctions and other words that tell where a phrase begins.

/// What a word says about the places beside it. Words are in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An article, possessive, subject pronoun, auxiliary or negation: belongs to the next word.
    Determiner,
    /// A preposition: begins a phrase, and belongs to the next word.
    Preposition,
    /// A conjunction: begins a clause, and belongs to the next word.
    Conjunction,
}

struct Words {
    language: &'static str,
    /// Separated by spaces, as the other two.
    determiners: &'static str,
    prepositions: &'static str,
    conjunctions: &'static str,
}

const LANGUAGES: &[Words] = &[
    Words {
        language: "en",
        determiners: "a an the my your his our their its this these those every each some any no i he she we they \
                      am is are was were be been being have has had do does did will would shall should can could \
                      may might must not very too",
        prepositions: "of in on at by for with from to into onto over under about after before between through \
                       during without within against among towards toward upon across behind beyond near since \
                       until than like via per as",
        conjunctions: "and or but nor so because although though while when where if unless that which who whom \
                       whose whether",
    },
    Words {
        language: "de",
        determiners: "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner mein \
                      meine meinen meinem meiner dein deine deinen sein seine seinen seinem seiner ihr ihre ihren \
                      ihrem ihrer unser unsere unseren unserem euer eure dieser diese dieses diesen diesem jeder \
                      jede jedes jeden ich du er wir sehr",
        prepositions: "in im ins an am ans auf aufs aus bei beim mit nach von vom vor zu zum zur für durch gegen \
                       ohne um über unter zwischen hinter neben seit wegen trotz bis",
        conjunctions: "und oder aber denn sondern dass daß weil wenn ob obwohl damit während bevor nachdem als wie",
    },
    Words {
        language: "fr",
        determiners: "le la les un une des mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet \
                      cette ces je tu il elle on ils elles ne me te se y très ai as a est sont était ont avait",
        prepositions: "à de du au aux dans en sur sous par pour avec sans chez vers entre depuis pendant contre",
        conjunctions: "et ou mais donc car ni que qui quand si comme lorsque parce puisque où dont",
    },
    Words {
        language: "es",
        determiners: "el la los las un una unos unas lo mi mis tu tus su sus nuestro nuestra este esta estos estas \
                      ese esa yo no se me te le les nos muy ha han he es son",
        prepositions: "a de del al en con por para sin sobre entre hasta desde hacia según contra",
        conjunctions: "y e o u pero ni que porque si cuando como donde aunque mientras quien sino",
    },
    Words {
        language: "it",
        determiners: "il lo la i gli le un uno una mio mia suo sua questo questa quel quella non mi ti si ci vi io \
                      molto ha hanno ho è sono",
        prepositions: "di a da in con su per tra fra del dello della dei degli delle al allo alla ai agli alle dal \
                       dallo dalla dai dalle nel nello nella nei nelle sul sullo sulla sui sulle",
        conjunctions: "e ed o ma che perché se quando come dove mentre né quindi",
    },
    Words {
        language: "pt",
        determiners: "o a os as um uma uns umas meu minha seu sua este esta esse essa não se me te eu muito é são",
        prepositions: "de do da dos das em no na nos nas por pelo pela para com sem sobre entre até desde ao à aos às",
        conjunctions: "e ou mas que porque quando como onde embora enquanto quem nem",
    },
    Words {
        language: "nl",
        determiners: "de het een mijn jouw zijn haar ons onze hun deze dit ik jij hij wij we je niet zeer",
        prepositions: "in op aan bij met van voor naar uit over onder door tegen zonder tussen tot om te",
        conjunctions: "en of maar want omdat dat die als toen terwijl hoewel wanneer",
    },
    Words {
        language: "ru",
        determiners: "не ни мой моя моё мои свой своя его её их этот эта эти очень я он она мы они",
        prepositions: "в во на с со к ко по о об от до из за для у без под над при про через между",
        conjunctions: "и а но или что чтобы если когда как потому хотя где который которая которые",
    },
];

/// English contractions that belong to the next word: `don't`, `we'll`.
const CONTRACTIONS: &[&str] = &["n't", "'m", "'re", "'ll", "'ve", "'d"];

/// Returns the role of a word, without punctuation, in the language with this code.
pub(crate) fn role(word: &str, language: Option<&str>) -> Option<Role> {
    let words = LANGUAGES.iter().find(|words| Some(words.language) == language);
    let lower = word.to_lowercase().replace('’', "'");
    let elides = matches!(language, Some("fr" | "it" | "ca"));
    // `l'a` is an auxiliary, `qu'il` a pronoun.
    let word = lower.rsplit('\'').next().filter(|_| elides).unwrap_or(&lower);
    let listed = |list: &str| list.split(' ').any(|listed| listed == word);
    if let Some(words) = words {
        if listed(words.conjunctions) {
            return Some(Role::Conjunction);
        }
        if listed(words.prepositions) {
            return Some(Role::Preposition);
        }
        let contracted =
            words.language == "en" && CONTRACTIONS.iter().any(|end| word.ends_with(end));
        if contracted || listed(words.determiners) {
            return Some(Role::Determiner);
        }
    }
    // In most languages with an alphabet, a word of one letter is an article, preposition or conjunction,
    // and stands at the end of a line nowhere.
    let mut letters = word.chars();
    let single = letters.next().is_some_and(char::is_lowercase) && letters.next().is_none();
    single.then_some(Role::Determiner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_roles_in_their_language() {
        assert_eq!(role("The", Some("en")), Some(Role::Determiner));
        assert_eq!(role("than", Some("en")), Some(Role::Preposition));
        assert_eq!(role("und", Some("de")), Some(Role::Conjunction));
        assert_eq!(role("und", Some("en")), None);
        assert_eq!(role("the", None), None);
        assert_eq!(role("didn’t", Some("en")), Some(Role::Determiner));
        assert_eq!(role("l’a", Some("fr")), Some(Role::Determiner));
        assert_eq!(role("w", Some("pl")), Some(Role::Determiner));
        assert_eq!(role("好", Some("zh")), None);
        assert_eq!(role("", Some("en")), None);
    }

    #[test]
    fn no_word_is_listed_twice() {
        for words in LANGUAGES {
            let mut all: Vec<&str> = [words.determiners, words.prepositions, words.conjunctions]
                .into_iter()
                .flat_map(|list| list.split(' '))
                .collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{}", words.language);
        }
    }
}
