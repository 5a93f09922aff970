//! Cepstral mean and variance normalization from a Kaldi text file (`am.mvn`).

use std::path::Path;

use crate::{
    files::{self, broken},
    recognizer::Error,
};

/// Normalization `y = (x + shift) * scale` of each value of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Cmvn {
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Cmvn {
    /// Creates a normalization from one shift and one scale per value of a frame, all of them finite.
    ///
    /// # Errors
    /// Returns a message if their numbers differ.
    pub fn new(shift: Vec<f32>, scale: Vec<f32>) -> Result<Self, String> {
        if shift.len() != scale.len() {
            return Err(format!("{} shifts, but {} scales", shift.len(), scale.len()));
        }
        Ok(Self { shift, scale })
    }

    /// Reads a Kaldi "nnet" with the components `<AddShift>` and `<Rescale>`, each followed by
    /// `<LearnRateCoef> 0 [ values ]`.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be read or is not in this format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::parse(&files::read_text(path)?).map_err(|message| broken(path, message))
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(component(text, "<AddShift>")?, component(text, "<Rescale>")?)
    }

    /// Returns the number of values per frame.
    pub fn width(&self) -> usize {
        self.shift.len()
    }

    /// Normalizes whole frames, row-major `[_, width]`.
    pub fn apply(&self, frames: &mut [f32]) {
        debug_assert_eq!(frames.len() % self.width(), 0);
        for frame in frames.chunks_exact_mut(self.width()) {
            for ((x, shift), scale) in frame.iter_mut().zip(&self.shift).zip(&self.scale) {
                *x = (*x + shift) * scale;
            }
        }
    }
}

/// Returns the values between the brackets that follow `name`.
fn component(text: &str, name: &str) -> Result<Vec<f32>, String> {
    let (_, after) = text.split_once(name).ok_or_else(|| format!("{name} is missing"))?;
    let after = after.split_once("<LearnRateCoef>").map_or(after, |(_, coefficients)| coefficients);
    let values = after
        .split_once('[')
        .and_then(|(_, values)| values.split_once(']'))
        .map(|(values, _)| values)
        .ok_or_else(|| format!("{name} has no values in brackets"))?;
    let values = values
        .split_ascii_whitespace()
        .map(|value| match value.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{name}: `{value}` is not a finite number")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() { Err(format!("{name} is empty")) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<Nnet>\n<Splice> 2 2\n[ 0 ]\n<AddShift> 2 2\n<LearnRateCoef> 0 [ -1 2.5 ]\n\
                        <Rescale> 2 2\n<LearnRateCoef> 0 [ 0.5 2 ]\n</Nnet>\n";

    #[test]
    fn shifts_and_scales() {
        let cmvn = Cmvn::parse(GOOD).expect("well formed");
        let mut frames = [1.0, 2.0, 3.0, 4.0];
        cmvn.apply(&mut frames);
        assert_eq!(frames, [0.0, 9.0, 1.0, 13.0]);
    }

    #[test]
    fn errors_name_the_cause() {
        for (broken, cause) in [
            ("", "<AddShift> is missing"),
            (&GOOD.replace("<Rescale>", "<Other>"), "<Rescale> is missing"),
            (&GOOD.replace("2.5", "nan"), "`nan` is not a finite number"),
            (&GOOD.replace("2.5", ""), "1 shifts, but 2 scales"),
            (&GOOD.replace("-1 2.5", ""), "<AddShift> is empty"),
            (&GOOD[..GOOD.len() - 15], "<Rescale> has no values in brackets"),
        ] {
            let message = Cmvn::parse(broken).expect_err(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
