//! What is registered with tract beside its own operators.

use tract_onnx::model::OnnxOpRegister;

pub(super) fn register(_register: &mut OnnxOpRegister) {}
