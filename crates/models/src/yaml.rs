//! Parses YAML with limits that fit old configuration files.

use serde::de::DeserializeOwned;

/// Old configurations of punctuation models hold a vocabulary of up to 471,067 words; the default
/// limit of the parser is 250,000 nodes.
const MAX_NODES: usize = 2_000_000;

/// Parses a YAML text.
///
/// # Errors
/// The parser's message.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn parses_the_largest_vocabulary() {
        let words: String = (0..471_067).map(|id| format!("- w{id}\n")).collect();
        assert_eq!(parse::<Vec<IgnoredAny>>(&words).unwrap().len(), 471_067);
    }
}
