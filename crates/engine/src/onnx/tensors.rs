//! Conversion of ONNX tensors to tract's.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use tract_onnx::{pb, tensor::load_tensor, tract_core::internal::*};

use super::{
    lazy::{FileWeights, check_weights, is_lazy},
    node::OnnxNode,
    source::Source,
    tract::TRACT,
};

/// Weights of at least this many bytes stay in the file; see [`super::lazy`].
const MIN_LAZY_BYTES: usize = 4096;

/// Files beside the model that hold values of its weights (ONNX's external data), opened when a
/// weight first names them.
#[derive(Default)]
pub(super) struct ExternalData {
    /// `None` if the model must be one file.
    directory: Option<PathBuf>,
    opened: BTreeMap<String, Arc<Source>>,
}

impl ExternalData {
    /// Allows files in `directory`.
    pub(super) fn beside(directory: &Path) -> Self {
        Self { directory: Some(directory.to_owned()), opened: BTreeMap::new() }
    }

    /// Returns the files that weights are in.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let directory = self.directory.as_deref().unwrap_or(Path::new(""));
        self.opened.keys().map(|name| directory.join(name)).collect()
    }

    /// Returns the file that holds the values of `proto`, and their range in it. A name must be that
    /// of a file in the model's directory: a model of others may not read what it likes.
    fn find(&mut self, proto: &pb::TensorProto) -> TractResult<(Arc<Source>, Range<u64>)> {
        let entry = |key: &str| {
            let mut entries = proto.external_data.iter().filter(|entry| entry.key == key);
            entries.next().map(|entry| entry.value.as_str())
        };
        let location = entry("location").unwrap_or_default();
        let Some(directory) = &self.directory else {
            bail!(
                "the values are in another file (`{location}`): save the model as one file, in \
                 Python: onnx.save(onnx.load(\"model.onnx\"), \"single.onnx\")"
            );
        };
        let plain = Path::new(location).file_name().is_some_and(|name| name == location);
        ensure!(plain, "the values are in `{location}`, which is no file beside the model");
        let source = match self.opened.get(location) {
            Some(source) => source.clone(),
            None => {
                let path = directory.join(location);
                let source = Source::open(&path)
                    .with_context(|| format!("cannot open the weights in {}", path.display()))?;
                self.opened.entry(location.to_owned()).or_insert(Arc::new(source)).clone()
            }
        };
        let number = |key: &str| entry(key).map(str::parse::<u64>).transpose();
        let start = number("offset")?.unwrap_or(0);
        let length = match number("length")? {
            Some(length) => length,
            None => source.length().saturating_sub(start),
        };
        let end = start.checked_add(length).filter(|&end| end <= source.length());
        let end = end.with_context(|| {
            format!("`{location}` is too short, so that it is of another model or truncated")
        })?;
        Ok((source, start..end))
    }
}

/// Converts the weights of a file. `raw` has the ranges in `source` of the values that are not in
/// `initializers`.
pub(super) fn weights(
    initializers: Vec<pb::TensorProto>,
    raw: &[Option<Range<u64>>],
    source: &Arc<Source>,
    external: &mut ExternalData,
) -> TractResult<HashMap<String, Arc<Tensor>>> {
    let mut weights = HashMap::with_capacity(initializers.len());
    let raw = raw.iter().cloned().chain(std::iter::repeat(None));
    for (mut proto, raw) in initializers.into_iter().zip(raw) {
        let name = std::mem::take(&mut proto.name);
        let tensor = if is_external(&proto) {
            external.find(&proto).and_then(|(source, range)| {
                proto.data_location = None;
                raw_tensor(&name, &mut proto, range, &source)
            })
        } else {
            match raw {
                Some(raw) => raw_tensor(&name, &mut proto, raw, source),
                None => tensor(&proto),
            }
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

/// Converts a tensor whose values are in `proto`.
pub(super) fn tensor(proto: &pb::TensorProto) -> TractResult<Tensor> {
    use pb::tensor_proto::DataType;
    if is_external(proto) {
        ExternalData::default().find(proto)?;
    }
    // tract panics on raw strings.
    let is_text = proto.data_type == DataType::String as i32;
    ensure!(!is_text || !proto.string_data.is_empty(), "a tensor of strings without strings");
    load_tensor(&*TRACT.provider, proto, None)
}

fn is_external(proto: &pb::TensorProto) -> bool {
    proto.data_location == Some(pb::tensor_proto::DataLocation::External as i32)
}
