//! A recognizer for tests.

use crate::recognizer::{
    Description, Error, Hypothesis, Recognition, RecognizeOptions, Recognizer,
};

/// A recognizer for tests: writes what a function makes of the number of seconds of each window. It
/// punctuates, and takes 30 seconds at a fixed cost, as Whisper does.
pub struct FakeRecognizer<F> {
    description: Description,
    text_of: F,
}

impl<F: Fn(f64) -> String + Send + Sync> FakeRecognizer<F> {
    pub fn new(name: &str, text_of: F) -> Self {
        Self { description: Description::of_test(name), text_of }
    }
}

impl Description {
    /// Returns the description of a recognizer for tests, which knows English.
    pub fn of_test(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            family: "test",
            precision: "f32",
            digest: "0".to_owned(),
            languages: vec!["en".to_owned()],
        }
    }
}

impl<F: Fn(f64) -> String + Send + Sync> Recognizer for FakeRecognizer<F> {
    fn description(&self) -> &Description {
        &self.description
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

    fn recognize(&self, samples: &[f32], _: &RecognizeOptions) -> Result<Recognition, Error> {
        let end = samples.len() as f64 / 16_000.0;
        let text = (self.text_of)(end);
        let tokens = vec![1; text.split(' ').count()];
        let hypothesis =
            Hypothesis { end, text, tokens, log_probability: -0.1, ..Hypothesis::default() };
        Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
    }
}
