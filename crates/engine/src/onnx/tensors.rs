//! Conversion of ONNX tensors to tract's.

use std::{collections::HashMap, ops::Range, sync::Arc};

use tract_onnx::{pb, tensor::load_tensor, tract_core::internal::*};

use super::{
    lazy::{FileWeights, check_weights, is_lazy},
    node::OnnxNode,
    source::Source,
    tract::TRACT,
};

/// Weights of at least this many bytes stay in the file; see [`super::lazy`].
const MIN_LAZY_BYTES: usize = 4096;

/// Converts the weights of a file. `raw` has the ranges in `source` of the values that are not in
/// `initializers`.
pub(super) fn weights(
    initializers: Vec<pb::TensorProto>,
    raw: &[Option<Range<u64>>],
    source: &Arc<Source>,
) -> TractResult<HashMap<String, Arc<Tensor>>> {
    let mut weights = HashMap::with_capacity(initializers.len());
    let raw = raw.iter().cloned().chain(std::iter::repeat(None));
    for (mut proto, raw) in initializers.into_iter().zip(raw) {
        let name = std::mem::take(&mut proto.name);
        let tensor = match raw {
            Some(raw) => raw_tensor(&name, &mut proto, raw, source),
            None => tensor(&proto),
        };
        let tensor = tensor.with_context(|| format!("weights `{name}`"))?;
        if !is_lazy(&tensor) {
            check_weights(&name, tensor.datum_type(), tensor.as_bytes())?;
        }
        weights.insert(name, Arc::new(tensor));
    }
    Ok(weights)
}

/// Converts a tensor whose values are at `raw` in `source`.
fn raw_tensor(
    name: &str,
    proto: &mut pb::TensorProto,
    raw: Range<u64>,
    source: &Arc<Source>,
) -> TractResult<Tensor> {
    let bytes = usize::try_from(raw.end - raw.start)?;
    let kind = pb::tensor_proto::DataType::try_from(proto.data_type).ok();
    let kind = kind.and_then(|kind| DatumType::try_from(kind).ok());
    let shape = proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<TVec<_>, _>>();
    if let (Some(kind), Ok(shape)) = (kind, shape)
        && [f32::datum_type(), u8::datum_type(), i8::datum_type()].contains(&kind)
        && bytes >= MIN_LAZY_BYTES
        && shape.iter().try_fold(kind.size_of(), |size, &dim| size.checked_mul(dim)) == Some(bytes)
        && !is_external(proto)
    {
        return Ok(FileWeights::tensor(name, source, raw.start, kind, &shape));
    }
    proto.raw_data = vec![0; bytes];
    source.read(raw.start, &mut proto.raw_data)?;
    tensor(proto)
}

/// Returns the value of a `Constant` node, `None` for the kinds that only tract knows.
pub(super) fn constant(node: &OnnxNode) -> TractResult<Option<Tensor>> {
    let tensor = match node.tensor("value") {
        Some(proto) => Some(tensor(proto)?),
        None => node
            .float("value_float")
            .map(tensor0)
            .or_else(|| node.int("value_int").map(tensor0))
            .or_else(|| node.ints("value_ints").map(tensor1)),
    };
    if let Some(tensor) = &tensor {
        check_weights(node.output(), tensor.datum_type(), tensor.as_bytes())?;
    }
    Ok(tensor)
}

/// Converts a tensor. Refuses values in another file: the digest of the model's own file must
/// identify what it computes.
pub(super) fn tensor(proto: &pb::TensorProto) -> TractResult<Tensor> {
    use pb::tensor_proto::DataType;
    if is_external(proto) {
        let location = proto.external_data.iter().find(|entry| entry.key == "location");
        bail!(
            "the values are in another file (`{}`): save the model as one file, in Python: \
             onnx.save(onnx.load(\"model.onnx\"), \"single.onnx\")",
            location.map_or("", |entry| &entry.value)
        );
    }
    // tract panics on raw strings.
    let is_text = proto.data_type == DataType::String as i32;
    ensure!(!is_text || !proto.string_data.is_empty(), "a tensor of strings without strings");
    load_tensor(&*TRACT.provider, proto, None)
}

fn is_external(proto: &pb::TensorProto) -> bool {
    proto.data_location == Some(pb::tensor_proto::DataLocation::External as i32)
}
