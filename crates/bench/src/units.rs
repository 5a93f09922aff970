//! Quantiles, and quantities as the tables print them.

/// Returns the least value that at least this fraction of all values does not exceed; for an even
/// number of values, the median is the mean of the two in the middle.
pub(crate) fn quantile(mut values: Vec<f64>, fraction: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |rank: usize| values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
    let rank = fraction * values.len() as f64;
    if rank.fract() == 0.0 && fraction == 0.5 {
        return (at(rank as usize) + at(rank as usize + 1)) / 2.0;
    }
    at(rank.ceil() as usize)
}

/// Formats bytes as megabytes; `?` if the system does not report them.
pub(crate) fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(vec![4.0, 1.0, 2.0, 3.0], 0.5), 2.5);
        assert_eq!(quantile((1..=100).map(f64::from).collect(), 0.95), 95.0);
        assert_eq!(quantile(vec![1.0, 2.0], 0.95), 2.0);
        assert_eq!(quantile(vec![], 0.5), 0.0);
    }
}
