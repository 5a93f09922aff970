//! Unit vectors in half precision: ten hours of speech have 48,000.

use half::f16;

/// Unit vectors, row-major. What is zero or not finite is the zero vector, which is like no voice.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    width: usize,
    values: Vec<f16>,
}

impl Vectors {
    pub(super) fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Adds vectors of `width` values each.
    pub(super) fn extend(&mut self, width: usize, values: &[f16]) {
        self.width = width;
        self.values.extend_from_slice(values);
    }

    pub(super) fn row(&self, index: usize) -> Vec<f32> {
        let row = &self.values[index * self.width..][..self.width];
        row.iter().map(|value| value.to_f32()).collect()
    }
}

/// Scales a vector to length 1.
pub(super) fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    let factor = if norm.is_normal() { norm.recip() } else { 0.0 };
    vector.iter_mut().for_each(|value| *value = if factor == 0.0 { 0.0 } else { *value * factor });
}

/// Returns the cosine of two vectors; 0 if one is zero, or if they have different lengths.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return 0.0;
    }
    let cosine = dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt());
    if cosine.is_finite() { cosine } else { 0.0 }
}

/// Returns the scalar product, with sums in an order that does not depend on the CPU.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
