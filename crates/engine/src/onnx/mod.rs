//! ONNX files: reading, cutting, fusing, running.
//!
//! `file` reads a model: `scan` leaves out large weights, `tensors` converts the others, and
//! `graph` sorts the nodes. A network is cut from the graph in these steps: `masks` folds padding
//! masks, `quantize` and `bf16` change the precision of linear layers, `fuse` replaces groups of
//! nodes by fused operators, `translate` makes a tract model, with `operators` for the nodes that
//! tract does not know or that we replace, and `rewrite` does the fusions that depend on shapes.

mod bf16;
mod file;
mod fuse;
mod graph;
mod input;
mod lazy;
mod masks;
mod names;
mod network;
mod node;
mod operators;
mod quantize;
mod rewrite;
mod scan;
mod source;
mod tensors;
#[cfg(test)]
mod tests;
mod tract;
mod translate;
mod unfused;

pub use file::{ElementType, OnnxFile, Port};
pub use input::Input;
pub use network::OnnxNetwork;
pub use node::OnnxNode;
