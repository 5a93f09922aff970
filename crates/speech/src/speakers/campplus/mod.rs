//! CAM++ (Wang et al. 2023, <https://arxiv.org/abs/2303.00332>), built from the weights of an ONNX
//! file.
//!
//! tract runs these files too, but with generic convolutions. Here, channels are the inner axis, so
//! that convolutions are GEMM; a window passes the two-dimensional part alone, so that its planes
//! stay in the second level of the cache; and the layers of a dense block append their channels to
//! one buffer, which ONNX copies for each layer. Windows may have any number of frames.

mod layer;
mod network;
mod read;

pub(super) use network::Network;
pub(super) use read::read;
