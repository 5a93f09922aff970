//! From log-probabilities to tokens.

use super::network::Logits;

/// Blank and the end of the sentence.
const DROPPED: [u32; 2] = [0, 2];

/// A token that was recognized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) log_probability: f32,
    /// Its row in the decoder's output: the token with this index by the predictor's count.
    pub(super) row: usize,
}

/// The tokens of a segment, as `funasr_onnx` decides on them (`paraformer_bin.py`): the likeliest of
/// every row, without blanks and ends, but at most as many as were counted, less `bias`.
///
/// FunASR's torch code drops `<s>` too and knows no bias. The two give the same text unless the end
/// of the sentence is not the last token; the files that we read are made for the former.
pub(super) fn greedy(logits: &Logits, bias: usize) -> Vec<Token> {
    let rows = logits.values.chunks_exact(logits.vocabulary);
    let most = rows.len().saturating_sub(bias);
    rows.enumerate()
        .map(|(row, values)| {
            let (id, log_probability) = likeliest(values);
            Token { id, log_probability, row }
        })
        .filter(|token| !DROPPED.contains(&token.id))
        .take(most)
        .collect()
}

/// The first of the largest.
fn likeliest(values: &[f32]) -> (u32, f32) {
    values.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (id, &value)| {
        if value > best.1 { (id as u32, value) } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(likeliest: &[usize], bias: usize) -> Vec<(u32, usize)> {
        let row = |&id: &usize| (0..5).map(move |other| if other == id { -0.5 } else { -3.0 });
        let values = likeliest.iter().flat_map(row).collect();
        let tokens = greedy(&Logits { values, vocabulary: 5 }, bias);
        assert!(tokens.iter().all(|token| token.log_probability == -0.5));
        tokens.iter().map(|token| (token.id, token.row)).collect()
    }

    #[test]
    fn ends_and_blanks_go_before_the_count_cuts() {
        assert_eq!(tokens(&[3, 4, 2], 1), [(3, 0), (4, 1)]);
        assert_eq!(tokens(&[0, 3, 2, 4, 1], 1), [(3, 1), (4, 3), (1, 4)]);
        assert_eq!(tokens(&[3, 4, 3], 1), [(3, 0), (4, 1)], "the end was not recognized");
        assert_eq!(tokens(&[3, 4], 0), [(3, 0), (4, 1)]);
        assert_eq!(tokens(&[3], 1), []);
        assert_eq!(tokens(&[], 1), []);
        assert_eq!(tokens(&[3], 9), []);
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(likeliest(&[-2.0, -1.0, -1.0]), (1, -1.0));
        assert_eq!(likeliest(&[f32::NAN, -1.0]), (1, -1.0));
    }
}
