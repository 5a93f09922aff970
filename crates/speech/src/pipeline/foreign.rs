//! Notices that a model for one language has heard another: it writes words that it is not sure of.

use crate::recognizer::{Hypothesis, Recognizer};

/// A single word may be improbable in any language.
const MIN_TOKENS: usize = 10;

/// How sure a recognizer is of its text: the mean log-probability of the tokens.
#[derive(Debug, Default)]
pub(super) struct Certainty {
    tokens: usize,
    /// Sum over the tokens.
    log_probability: f64,
}

impl Certainty {
    pub(super) fn add(&mut self, hypotheses: &[Hypothesis]) {
        for hypothesis in hypotheses {
            self.tokens += hypothesis.tokens.len();
            self.log_probability +=
                f64::from(hypothesis.log_probability) * hypothesis.tokens.len() as f64;
        }
    }

    /// Returns a warning if the speech is probably in a language that the recognizer does not know.
    pub(super) fn warning(&self, recognizer: &dyn Recognizer) -> Option<String> {
        let limit = recognizer.foreign_below()?;
        let mean = self.log_probability / self.tokens as f64;
        let is_foreign = self.tokens >= MIN_TOKENS && mean < f64::from(limit);
        if !is_foreign {
            return None;
        }
        let description = recognizer.description();
        let language = match description.languages.first()?.as_str() {
            "en" => "English",
            code => code,
        };
        Some(format!(
            "this does not sound like {language}, the only language that the model `{}` knows: the \
             mean probability of the text is {:.2}. If another language is spoken, transcribe the \
             recording with a multilingual model, such as whisper-base",
            description.name,
            mean.exp()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognizer::{Description, Error, Recognition, RecognizeOptions};

    struct English(Option<f32>, Description);

    impl Recognizer for English {
        fn description(&self) -> &Description {
            &self.1
        }

        fn max_seconds(&self) -> f64 {
            30.0
        }

        fn fixed_window(&self) -> bool {
            true
        }

        fn punctuates(&self, _: bool) -> bool {
            true
        }

        fn foreign_below(&self) -> Option<f32> {
            self.0
        }

        fn recognize(&self, _: &[f32], _: &RecognizeOptions) -> Result<Recognition, Error> {
            Ok(Recognition::default())
        }
    }

    /// Returns the warning about hypotheses of this many tokens with these mean log-probabilities.
    fn warning(limit: Option<f32>, hypotheses: &[(usize, f32)]) -> Option<String> {
        let mut certainty = Certainty::default();
        for &(tokens, log_probability) in hypotheses {
            let tokens = vec![1; tokens];
            certainty.add(&[Hypothesis { tokens, log_probability, ..Hypothesis::default() }]);
        }
        certainty.warning(&English(limit, Description::of_test("only-english")))
    }

    #[test]
    fn improbable_text_of_a_model_for_one_language_gives_a_warning() {
        assert_eq!(
            warning(Some(-0.7), &[(10, -1.0), (20, -0.7)]).unwrap(),
            "this does not sound like English, the only language that the model `only-english` knows: \
             the mean probability of the text is 0.45. If another language is spoken, transcribe the \
             recording with a multilingual model, such as whisper-base"
        );
        assert_eq!(warning(Some(-0.7), &[(10, -1.0), (20, -0.5)]), None, "the mean counts");
        assert_eq!(warning(Some(-0.7), &[(4, -2.0), (5, -2.0)]), None, "too little text");
        assert_eq!(warning(Some(-0.7), &[]), None);
        assert_eq!(warning(Some(-0.7), &[(20, f32::NAN)]), None);
        assert_eq!(warning(None, &[(20, -2.0)]), None, "a multilingual model");
    }
}
