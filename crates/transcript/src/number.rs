//! Writes numbers rounded to their precision. NaN and infinities become 0, because JSON has
//! neither and serde would write `null`, which could not be read back.

use serde::Serializer;

/// Rounds to three decimals, milliseconds where the unit is seconds. NaN and infinities become 0.
pub(crate) fn three_decimals<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*value, 1e3))
}

/// Rounds a probability to four decimals; NaN becomes 0.
pub(crate) fn probability<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded_probability(*value))
}

/// Rounds a probability to four decimals; NaN becomes 0.
pub(crate) fn rounded_probability(value: f32) -> f64 {
    rounded(f64::from(value).clamp(0.0, 1.0), 1e4)
}

/// Writes milliseconds as seconds with three decimals.
pub(crate) fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Writes a number with at least one decimal, and no more than it needs.
pub(crate) fn shortest(value: f64) -> String {
    format!("{value:?}")
}

pub(crate) fn optional_probability<S: Serializer>(
    value: &Option<f32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => probability(value, serializer),
        None => serializer.serialize_none(),
    }
}

fn rounded(value: f64, scale: f64) -> f64 {
    let scaled = (value * scale).round() / scale;
    if scaled.is_finite() { scaled } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_replaces_values_that_are_not_finite() {
        assert_eq!(rounded(1.230_000_019, 1e3), 1.23);
        assert_eq!(rounded(f64::from(0.1_f32), 1e4), 0.1);
        for not_finite in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(rounded(not_finite, 1e3), 0.0);
        }
    }
}
