use serde::de::DeserializeOwned;

/// Old settings of a punctuation model hold its vocabulary of up to 471,067 words; by itself the
/// parser gives up at 250,000 nodes.
const MOST_NODES: usize = 2_000_000;

/// What a text says in YAML.
///
/// # Errors
/// The parser's words on what is wrong.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MOST_NODES, max_events: 2 * MOST_NODES },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn old_vocabularies_are_read() {
        let words: String = (0..471_067).map(|id| format!("- w{id}\n")).collect();
        assert_eq!(parse::<Vec<IgnoredAny>>(&words).unwrap().len(), 471_067);
    }
}
