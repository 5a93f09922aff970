//! Greedy decoding: log-probabilities to tokens.

use super::network::Logits;

/// The blank and the end of the sentence.
const SKIPPED_TOKENS: [u32; 2] = [0, 2];

/// A recognized token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) log_probability: f32,
    /// Row in the decoder's output: the token's index among those that the predictor counted.
    pub(super) row: usize,
}

/// Returns the tokens of a segment as `funasr_onnx` does (`paraformer_bin.py`): the argmax of every
/// row, without blanks and sentence ends, limited to the number of rows less `bias`.
///
/// FunASR's torch code also drops `<s>` and has no bias. Both give the same text unless the end of
/// the sentence is not the last token; the ONNX files are exported for `funasr_onnx`.
pub(super) fn greedy(logits: &Logits, bias: usize) -> Vec<Token> {
    let rows = logits.values.chunks_exact(logits.vocabulary);
    let max_tokens = rows.len().saturating_sub(bias);
    rows.enumerate()
        .map(|(row, values)| {
            let (id, log_probability) = argmax(values);
            Token { id, log_probability, row }
        })
        .filter(|token| !SKIPPED_TOKENS.contains(&token.id))
        .take(max_tokens)
        .collect()
}

/// Returns the index of the first maximum, and its value.
fn argmax(values: &[f32]) -> (u32, f32) {
    values.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (id, &value)| {
        if value > best.1 { (id as u32, value) } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(best: &[usize], bias: usize) -> Vec<(u32, usize)> {
        let row = |&id: &usize| (0..5).map(move |other| if other == id { -0.5 } else { -3.0 });
        let values = best.iter().flat_map(row).collect();
        let tokens = greedy(&Logits { values, vocabulary: 5 }, bias);
        assert!(tokens.iter().all(|token| token.log_probability == -0.5));
        tokens.iter().map(|token| (token.id, token.row)).collect()
    }

    #[test]
    fn drops_ends_and_blanks_before_limiting_the_number() {
        assert_eq!(tokens(&[3, 4, 2], 1), [(3, 0), (4, 1)]);
        assert_eq!(tokens(&[0, 3, 2, 4, 1], 1), [(3, 1), (4, 3), (1, 4)]);
        assert_eq!(tokens(&[3, 4, 3], 1), [(3, 0), (4, 1)], "the end was not recognized");
        assert_eq!(tokens(&[3, 4], 0), [(3, 0), (4, 1)]);
        assert_eq!(tokens(&[3], 1), []);
        assert_eq!(tokens(&[], 1), []);
        assert_eq!(tokens(&[3], 9), []);
    }

    #[test]
    fn the_first_of_equal_values_wins() {
        assert_eq!(argmax(&[-2.0, -1.0, -1.0]), (1, -1.0));
        assert_eq!(argmax(&[f32::NAN, -1.0]), (1, -1.0));
    }
}
