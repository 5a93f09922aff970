//! What goes over single rows: layer norm, activations.

use crate::{Finish, plain};

/// Layer norm (Ba et al. 2016) over rows of `gamma.len()` numbers.
///
/// # Panics
/// If the lengths do not fit together.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = gamma.len();
    assert!(beta.len() == width && x.len() == out.len(), "layer norm of unequal lengths");
    assert!(width > 0 && x.len() % width == 0, "layer norm over broken rows");
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        plain::layer_norm(x, gamma, beta, epsilon, out);
    }
}

/// Applies the activation of `finish` to every value.
pub fn activate(values: &mut [f32], finish: Finish) {
    plain::finish(values, finish);
}
