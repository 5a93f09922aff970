//! Values that do not depend on a network's input, also where nodes compute them.

use engine::{OnnxFile, OnnxNode, Tensor};

/// A row-major array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Returns the input of a node at `index`, which must not depend on the inputs of the network.
pub(super) fn array(file: &OnnxFile, node: &OnnxNode, index: usize) -> Result<Array, String> {
    let tensor =
        node.input(index).ok_or_else(|| format!("`{}` lacks input {index}", node.name()))?;
    let array = evaluate(file, tensor)?;
    match array.values.iter().all(|value| value.is_finite()) {
        true => Ok(array),
        false => Err(format!("`{tensor}` is not finite: the file is damaged, download it again")),
    }
}

fn evaluate(file: &OnnxFile, tensor: &str) -> Result<Array, String> {
    if let Some(constant) = file.constant(tensor) {
        return widened(constant);
    }
    let node = file.producer(tensor).ok_or_else(|| format!("lacks the tensor `{tensor}`"))?;
    match node.op() {
        "Cast" | "Identity" => evaluate(file, node.input(0).unwrap_or("")),
        op => Err(format!("computes the weights `{tensor}` by {op}, which is not supported")),
    }
}

fn widened(tensor: &Tensor) -> Result<Array, String> {
    let floats = tensor.cast_to::<f32>().map_err(|error| error.to_string())?;
    let values = engine::values::<f32>(&floats).map_err(|error| error.to_string())?.to_vec();
    Ok(Array { shape: tensor.shape().to_vec(), values })
}
