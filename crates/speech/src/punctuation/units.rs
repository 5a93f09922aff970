//! Splits text into the network's units.

/// Splits a text at white space, and the parts into single non-ASCII characters and runs of ASCII,
/// like FunASR's `code_mix_split_words`.
pub(super) fn units(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|mut rest| {
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let length = if first.is_ascii() {
                rest.find(|c: char| !c.is_ascii()).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let unit;
            (unit, rest) = rest.split_at(length);
            Some(unit)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn units_contain_all_characters(text in any::<String>()) {
            let joined: String = units(&text).collect();
            prop_assert_eq!(joined, text.split_whitespace().collect::<String>());
            for unit in units(&text) {
                prop_assert!(unit.is_ascii() || unit.chars().count() == 1);
            }
        }
    }

    #[test]
    fn splits_characters_and_runs_of_ascii() {
        for (text, expected) in [
            ("", vec![]),
            (" \u{3000}\n", vec![]),
            ("hello world", vec!["hello", "world"]),
            ("一丁七ok the 万丈", vec!["一", "丁", "七", "ok", "the", "万", "丈"]),
            ("it's café 3.5％", vec!["it's", "caf", "é", "3.5", "％"]),
            ("𠀀a", vec!["𠀀", "a"]),
        ] {
            assert_eq!(units(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
