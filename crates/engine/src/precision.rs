//! Number formats of linear layers.

use std::{fmt, str::FromStr};

/// Number format in which a model's linear layers compute. Other layers compute in `f32`, or, like
/// attention, in a [`ComputeType`](crate::ComputeType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Weights are quantized per output when they are loaded (or in the file), activations at run
    /// time.
    Int8,
    /// Weights and activations are rounded to bfloat16, sums are in f32.
    Bf16,
    F32,
}

impl Precision {
    /// All precisions, the fastest first.
    pub const ALL: [Self; 3] = [Self::Int8, Self::Bf16, Self::F32];

    /// Returns the spelling in configuration files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|precision| precision.as_str() == text);
        found.ok_or_else(|| UnknownPrecision(text.to_owned()))
    }
}

/// A text that does not name a [`Precision`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision `{0}`: it can be int8, bf16 or f32")]
pub struct UnknownPrecision(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_round_trip() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        for text in ["", "auto", "INT8", "f16"] {
            let message = text.parse::<Precision>().expect_err(text).to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
        }
    }
}
