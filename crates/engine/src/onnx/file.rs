//! ONNX files: their graph, and networks that are cut from it.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use kernels::attention::ComputeType;
use tract_onnx::{pb, prelude::*, tract_core::internal::TractError};

use super::{
    bf16, fuse,
    graph::Graph,
    input::Input,
    lazy, masks,
    names::QUANTIZED_LINEAR,
    network::OnnxNetwork,
    node::OnnxNode,
    quantize, rewrite,
    scan::{Scanned, scan},
    source::Source,
    tensors::{self, ExternalData},
    translate,
    unfused::{UnfusedNode, unfused_nodes, warn_if_unfused},
};
use crate::{dim::Dim, error::Error, precision::Precision};

/// An ONNX file whose graph was read. Networks that are cut from it share its weights.
///
/// # Examples
/// Cuts the encoder out of a model and runs it:
/// ```no_run
/// use engine::{Input, OnnxFile, Precision};
///
/// let file = OnnxFile::read("model.onnx".as_ref())?.with_precision(Precision::Int8);
/// let inputs = [
///     Input::new("speech", [1.into(), "frames".into(), 560.into()]),
///     Input::full_length("speech_lengths", "frames"),
/// ];
/// let encoder = file.network(&inputs, &["/encoder/after_norm/Add_1_output_0"])?;
///
/// let features = engine::tensor(&[1, 93, 560], &vec![0f32; 93 * 560])?;
/// let outputs = encoder.run(vec![features])?;
/// println!("{:?}", engine::values::<f32>(&outputs[0])?);
/// # Ok::<_, engine::Error>(())
/// ```
#[derive(Debug)]
pub struct OnnxFile {
    path: PathBuf,
    metadata: HashMap<String, String>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    opsets: Vec<pb::OperatorSetIdProto>,
    external_files: Vec<PathBuf>,
    precision: Precision,
    compute_type: Option<ComputeType>,
    pub(super) graph: Graph,
    /// Index of the node that computes a tensor.
    producers: HashMap<String, usize>,
    /// Indices of the nodes that use a tensor, in order.
    consumers: HashMap<String, Vec<usize>>,
}

/// Operators to fuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code))]
pub(super) enum Fusion {
    None,
    /// Operators that exporters split.
    Nodes,
    /// Also the fusions that depend on shapes.
    All,
}

/// An input or output of a file's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub element: ElementType,
    /// Length of each axis, `None` if it may be any.
    pub shape: Vec<Option<usize>>,
}

/// Element type of a tensor, as far as speech models use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    F32,
    I32,
    I64,
    U8,
    I8,
    Other,
}

impl OnnxFile {
    /// Reads the graph. The file stays open: large weights are read when a network packs them.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, [`Error::Model`] if it is not an ONNX model or a
    /// weight is NaN.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let source =
            Source::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::open(path, source, ExternalData::default())
    }

    /// Reads the graph as [`Self::read`] does, of a model whose weights may be in other files of its
    /// directory. Its identity is that of all of them: see [`Self::external_files`].
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::Model`] if a file of weights is missing, too short, or
    /// elsewhere.
    pub fn read_with_external_data(path: &Path) -> Result<Self, Error> {
        let source =
            Source::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::open(path, source, ExternalData::beside(directory))
    }

    /// Reads a model in memory, as [`Self::read`] does. Errors name `path`.
    ///
    /// # Errors
    /// [`Error::Model`] as in [`Self::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        Self::open(path, Source::Memory(bytes.into()), ExternalData::default())
    }

    fn open(path: &Path, source: Source, external: ExternalData) -> Result<Self, Error> {
        let Scanned { model, raw } = scan(&source).map_err(|error| Error::model(path, error))?;
        Self::new(path, model, &raw, source, external)
    }

    /// Takes the graph of `model`. `raw` has the ranges in `source` of the initializers' values
    /// that are not in `model`.
    pub(super) fn new(
        path: &Path,
        model: pb::ModelProto,
        raw: &[Option<Range<u64>>],
        source: Source,
        mut external: ExternalData,
    ) -> Result<Self, Error> {
        let error = |error: TractError| Error::model(path, error);
        let mut proto = model.graph.ok_or_else(|| Error::model(path, "it has no graph"))?;
        let initializers = std::mem::take(&mut proto.initializer);
        let weights = tensors::weights(initializers, raw, &Arc::new(source), &mut external);
        let weights = weights.map_err(error)?;
        let nodes = std::mem::take(&mut proto.node).into_iter().map(OnnxNode::new).collect();
        let graph = Graph::new(nodes, weights).map_err(error)?;
        let mut producers = HashMap::new();
        let mut consumers = HashMap::<String, Vec<usize>>::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs().iter().filter(|output| !output.is_empty()) {
                producers.insert(output.clone(), index);
            }
            for tensor in node.dependencies().collect::<HashSet<_>>() {
                consumers.entry(tensor.to_owned()).or_default().push(index);
            }
        }
        // Old exporters list weights among the inputs.
        let inputs = proto.input.iter().filter(|port| !graph.constants.contains_key(&port.name));
        Ok(Self {
            path: path.to_owned(),
            metadata: model.metadata_props.into_iter().map(|pair| (pair.key, pair.value)).collect(),
            inputs: inputs.map(port).collect(),
            outputs: proto.output.iter().map(port).collect(),
            opsets: model.opset_import,
            external_files: external.files(),
            precision: Precision::F32,
            compute_type: None,
            graph,
            producers,
            consumers,
        })
    }

    /// Sets the precision of linear layers whose weights are f32, for the networks that are cut
    /// from now on; the default is f32. Layers that the file itself quantizes stay as they are.
    ///
    /// [`Precision::Int8`] quantizes as FunASR's exporter does, which leaves out some layers.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the number format of attention and of linear layers that the file does not quantize,
    /// for the networks that are cut from now on. By default it is the fastest that this machine
    /// has if other linear layers are int8 or bf16, and f32 otherwise.
    pub fn with_compute_type(mut self, compute_type: ComputeType) -> Self {
        self.compute_type = Some(compute_type);
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the other files that weights are in.
    pub fn external_files(&self) -> &[PathBuf] {
        &self.external_files
    }

    /// Returns a value of the file's metadata. sherpa-onnx stores constants of a model here.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Returns all nodes, each after those that it depends on, without constants and aliases of
    /// constants.
    pub fn nodes(&self) -> &[OnnxNode] {
        &self.graph.nodes
    }

    /// Returns the value of a tensor that does not depend on the inputs. The values of a large
    /// tensor are read when they are first accessed, and kept from then on.
    pub fn constant(&self, tensor: &str) -> Option<&Tensor> {
        self.graph.constants.get(tensor).map(Arc::as_ref)
    }

    /// Returns the element type of a constant.
    pub fn element_type(&self, tensor: &str) -> Option<ElementType> {
        let kind = self.graph.constants.get(tensor)?.datum_type();
        let types = [
            (f32::datum_type(), ElementType::F32),
            (i32::datum_type(), ElementType::I32),
            (i64::datum_type(), ElementType::I64),
            (u8::datum_type(), ElementType::U8),
            (i8::datum_type(), ElementType::I8),
        ];
        let found = types.iter().find(|(datum_type, _)| *datum_type == kind);
        Some(found.map_or(ElementType::Other, |(_, element)| *element))
    }

    /// Calls `then` with the values of an f32 constant, without keeping those of a large one in
    /// memory: a buffer of the thread holds them, which [`Self::free_buffers`] frees.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such constant, or if its values cannot be read.
    pub fn with_floats<R>(&self, tensor: &str, then: impl FnOnce(&[f32]) -> R) -> Result<R, Error> {
        let read = lazy::with_floats(self.existing(tensor)?, |values| Ok(then(values)));
        read.map_err(|error| Error::model(&self.path, error))
    }

    /// As [`Self::with_floats`], with the values of a u8 constant, or of an i8 constant reinterpreted
    /// as u8.
    ///
    /// # Errors
    /// [`Error::Model`] as there.
    pub fn with_bytes<R>(&self, tensor: &str, then: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        let constant = self.existing(tensor)?;
        if !matches!(self.element_type(tensor), Some(ElementType::U8 | ElementType::I8)) {
            return Err(Error::model(&self.path, format!("`{tensor}` does not hold bytes")));
        }
        let read = lazy::with_bytes(constant, |values| Ok(then(values)));
        read.map_err(|error| Error::model(&self.path, error))
    }

    /// Frees the buffers of this thread for weights that were read.
    pub fn free_buffers() {
        lazy::free_scratch();
    }

    fn existing(&self, tensor: &str) -> Result<&Arc<Tensor>, Error> {
        let constant = self.graph.constants.get(tensor);
        constant.ok_or_else(|| Error::model(&self.path, format!("`{tensor}` is not a constant")))
    }

    /// Returns the node that computes `tensor`, `None` for inputs and constants.
    pub fn producer(&self, tensor: &str) -> Option<&OnnxNode> {
        self.producers.get(tensor).map(|&index| &self.graph.nodes[index])
    }

    /// Returns the nodes that use `tensor`, also in their subgraphs, in order.
    pub fn consumers(&self, tensor: &str) -> impl Iterator<Item = &OnnxNode> {
        let indices = self.consumers.get(tensor).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|&index| &self.graph.nodes[index])
    }

    /// Returns all nodes that `tensor` depends on, in order. Its producer is the last.
    pub fn upstream(&self, tensor: &str) -> Vec<&OnnxNode> {
        let mut found = HashSet::new();
        let mut open: Vec<usize> = self.producers.get(tensor).copied().into_iter().collect();
        while let Some(index) = open.pop() {
            if found.insert(index) {
                let tensors = self.graph.nodes[index].dependencies();
                open.extend(tensors.filter_map(|tensor| self.producers.get(tensor)));
            }
        }
        self.in_order(found)
    }

    /// Returns all nodes that depend on `tensor`, in order.
    pub fn downstream(&self, tensor: &str) -> Vec<&OnnxNode> {
        let mut found = HashSet::new();
        let mut open = vec![tensor];
        while let Some(tensor) = open.pop() {
            for &index in self.consumers.get(tensor).map_or(&[][..], Vec::as_slice) {
                if found.insert(index) {
                    open.extend(self.graph.nodes[index].outputs().iter().map(String::as_str));
                }
            }
        }
        self.in_order(found)
    }

    fn in_order(&self, nodes: HashSet<usize>) -> Vec<&OnnxNode> {
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|index| &self.graph.nodes[index]).collect()
    }

    /// Makes a network of the whole graph, from all inputs to all outputs. `shapes` are those of
    /// the inputs, in the file's order; they override the file's shapes.
    ///
    /// # Errors
    /// As [`Self::network`], or if the number of shapes is not that of the inputs.
    pub fn full_network(&self, shapes: &[Vec<Dim>]) -> Result<OnnxNetwork, Error> {
        let expected = self.inputs.len();
        if shapes.len() != expected {
            let message = format!("it has {expected} inputs, not {}", shapes.len());
            return Err(Error::model(&self.path, message));
        }
        let names = self.inputs.iter().map(|port| port.name.as_str());
        let inputs: Vec<_> =
            names.zip(shapes).map(|(name, shape)| Input::new(name, shape.clone())).collect();
        let outputs: Vec<_> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        self.network(&inputs, &outputs)
    }

    /// Makes a network of the part of the graph between `inputs` and `outputs`. Any tensor may be
    /// an input or an output, and the other parts of the graph need not be supported. The network
    /// takes `inputs` in this order, without those of [`Input::full_length`].
    ///
    /// # Errors
    /// [`Error::Model`] if an output does not exist or depends on other inputs, or if tract does
    /// not support an operator or cannot infer a shape.
    pub fn network(&self, inputs: &[Input<'_>], outputs: &[&str]) -> Result<OnnxNetwork, Error> {
        self.network_with(inputs, outputs, Fusion::All)
    }

    /// Makes a network as [`Self::network`] with one output, whose last axis has the scores of
    /// classes, and replaces the scores by two values: the most probable class and its
    /// log-probability, which is NaN if a score is not finite. The scores of a segment over a large
    /// vocabulary are never in memory all at once. Also returns the number of classes.
    ///
    /// # Errors
    /// As [`Self::network`], or if the number of classes is not fixed.
    pub fn argmax_network(
        &self,
        inputs: &[Input<'_>],
        output: &str,
    ) -> Result<(OnnxNetwork, usize), Error> {
        let build = || {
            let (mut model, unfused) = self.typed_model(inputs, &[output], Fusion::All)?;
            warn_if_unfused(&self.path, &model, &unfused);
            let classes = rewrite::append_argmax(&mut model)?;
            Ok((OnnxNetwork::new(model)?, classes))
        };
        build().map_err(|error: TractError| Error::model(&self.path, error))
    }

    /// Makes a network with fewer fusions, which tests compare with the fully fused one.
    pub(super) fn network_with(
        &self,
        inputs: &[Input<'_>],
        outputs: &[&str],
        fusion: Fusion,
    ) -> Result<OnnxNetwork, Error> {
        let build = || {
            let (model, unfused) = self.typed_model(inputs, outputs, fusion)?;
            if fusion == Fusion::All {
                warn_if_unfused(&self.path, &model, &unfused);
            }
            OnnxNetwork::new(model)
        };
        build().map_err(|error: TractError| Error::model(&self.path, error))
    }

    /// Makes a tract model. Also returns the nodes that no fusion rule matched.
    pub(super) fn typed_model(
        &self,
        inputs: &[Input<'_>],
        outputs: &[&str],
        fusion: Fusion,
    ) -> TractResult<(TypedModel, Vec<UnfusedNode>)> {
        let element = |name: &str| match self.inputs.iter().find(|port| port.name == name) {
            Some(Port { element: ElementType::I32, .. }) => i32::datum_type(),
            Some(Port { element: ElementType::I64, .. }) => i64::datum_type(),
            _ => f32::datum_type(),
        };
        let mut graph = self.graph.cut(inputs, outputs)?;
        let (template, known) = translate::known_shapes(inputs);
        masks::fold(&mut graph, &known, outputs);
        graph.prune(outputs);
        if self.precision == Precision::Int8 {
            quantize::quantize(&mut graph);
            graph.prune(outputs);
        }
        if fusion != Fusion::None {
            fuse::fuse(&mut graph, outputs);
        }
        let rounded = self.precision == Precision::Bf16;
        let quantized = graph.nodes.iter().any(|node| node.op() == QUANTIZED_LINEAR);
        let fastest = (rounded || quantized).then(ComputeType::fastest);
        let compute_type = self.compute_type.or(fastest).unwrap_or_default();
        if rounded || compute_type == ComputeType::Bf16 {
            bf16::mark_linear_layers(&mut graph);
        }
        let unfused = unfused_nodes(&graph.nodes);
        let opsets = &self.opsets;
        let mut model =
            translate::translate(graph, template, known, inputs, outputs, element, opsets)?;
        if fusion == Fusion::All {
            rewrite::rewrite(&mut model, compute_type)?;
        }
        Ok((model, unfused))
    }
}

fn port(info: &pb::ValueInfoProto) -> Port {
    let (mut element, mut shape) = (ElementType::Other, Vec::new());
    let value = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    if let Some(pb::type_proto::Value::TensorType(tensor)) = value {
        use pb::tensor_proto::DataType;
        element = match DataType::try_from(tensor.elem_type) {
            Ok(DataType::Float) => ElementType::F32,
            Ok(DataType::Int32) => ElementType::I32,
            Ok(DataType::Int64) => ElementType::I64,
            Ok(DataType::Uint8) => ElementType::U8,
            Ok(DataType::Int8) => ElementType::I8,
            _ => ElementType::Other,
        };
        let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
        shape.extend(dims.map(|dim| match dim.value {
            Some(pb::tensor_shape_proto::dimension::Value::DimValue(length)) => {
                length.try_into().ok()
            }
            _ => None,
        }));
    }
    Port { name: info.name.clone(), element, shape }
}
