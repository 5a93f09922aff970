//! Names of the nodes that fusion inserts into a graph, and of their attributes.

/// A mask of ones of a given shape.
pub(super) const ALL_TRUE: &str = "scriptorium.AllTrue";
/// [`crate::ops::Attention`].
pub(super) const ATTENTION: &str = "scriptorium.Attention";
/// [`crate::ops::Fsmn`].
pub(super) const FSMN: &str = "scriptorium.Fsmn";
/// [`crate::ops::LayerNorm`].
pub(super) const LAYER_NORM: &str = "scriptorium.LayerNorm";
/// [`crate::ops::Linear`].
pub(super) const LINEAR: &str = "scriptorium.Linear";
/// [`crate::ops::QuantizedLinear`].
pub(super) const QUANTIZED_LINEAR: &str = "scriptorium.QuantizedLinear";
/// [`crate::ops::Truncate`].
pub(super) const TRUNCATE: &str = "scriptorium.Truncate";

/// Attribute of a linear layer with a bias.
pub(super) const BIASED: &str = "biased";
/// Attribute of a linear layer that computes in bfloat16.
pub(super) const BF16: &str = "bf16";
/// Attribute of attention: the number of heads.
pub(super) const HEADS: &str = "heads";
/// Attribute of a linear layer followed by `Relu`.
pub(super) const RELU: &str = "relu";
/// Attribute of an operator whose output is added to another tensor.
pub(super) const RESIDUAL: &str = "residual";

/// Returns whether `op` only reads its weights to pack them, while the model is built.
pub(super) fn packs_weights(op: &str) -> bool {
    op.starts_with("scriptorium.")
}
