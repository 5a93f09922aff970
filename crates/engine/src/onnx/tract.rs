//! tract's ONNX front end.

use std::sync::LazyLock;

use tract_onnx::model::Onnx;

/// tract's operators. To fill their table takes as long as to read a small model.
pub(super) static TRACT: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);
