//! The direction of a voice: the mean of embeddings.

/// The mean of the directions of embeddings, weighted by the seconds of speech that each stands for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Direction {
    sum: Vec<f64>,
}

impl Direction {
    /// Adds an embedding of any length; those that have no direction count nothing. All of them have the
    /// same number of values.
    pub fn add(&mut self, embedding: &[f32], seconds: f64) {
        let square: f64 = embedding.iter().map(|&value| f64::from(value).powi(2)).sum();
        let weight = seconds / square.sqrt();
        if !square.is_finite() || !weight.is_finite() {
            return;
        }
        self.sum.resize(embedding.len().max(self.sum.len()), 0.0);
        for (sum, &value) in self.sum.iter_mut().zip(embedding) {
            *sum += weight * f64::from(value);
        }
    }

    /// Returns the mean as a unit vector; `None` if nothing was added, or if all of it cancels out.
    pub fn unit(&self) -> Option<Vec<f32>> {
        let length = self.sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let is_vector = length.is_finite() && length > 1e-9;
        is_vector.then(|| self.sum.iter().map(|value| (value / length) as f32).collect())
    }
}
