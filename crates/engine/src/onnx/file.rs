use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use tract_onnx::{pb, prelude::*, tract_core::internal::TractError};

use super::{
    Dim, Input, Onnx, OnnxNode, fuse,
    graph::Graph,
    masks, operators, quantize, rewrite,
    scan::{Scanned, scan},
    source::Source,
    translate,
};
use crate::{ComputeType, Error, Precision, profile, runner::Runner};

/// An ONNX file, read and not yet made into a network. Weights are held once, and shared with the
/// networks that are cut from it.
#[derive(Debug)]
pub struct OnnxFile {
    path: PathBuf,
    metadata: HashMap<String, String>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    opsets: Vec<pb::OperatorSetIdProto>,
    precision: Precision,
    compute_type: Option<ComputeType>,
    pub(super) graph: Graph,
    /// The node that makes a tensor.
    producers: HashMap<String, usize>,
    /// The nodes that take a tensor, in order.
    consumers: HashMap<String, Vec<usize>>,
}

/// Which operators are fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code))]
pub(super) enum Fused {
    None,
    /// Those that exporters take apart.
    Nodes,
    /// And those that are fused once shapes are known.
    All,
}

/// An input or output of a file's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub element: Element,
    /// `None`: any length.
    pub shape: Vec<Option<usize>>,
}

/// Types of elements that speech models have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    F32,
    I32,
    I64,
    Other,
}

impl OnnxFile {
    /// Reads the graph. Large weights stay in the file, which is kept open, until a network is made
    /// that packs them.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be read, is no ONNX model, or a weight is no number.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let source = Source::open(path)
            .map_err(|error| Error::model(path, format!("cannot be read: {error}")))?;
        Self::open(path, source)
    }

    /// As [`OnnxFile::read`], for a model that was put together in memory; errors name `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        Self::open(path, Source::Memory(bytes.into()))
    }

    fn open(path: &Path, source: Source) -> Result<Self, Error> {
        let Scanned { model, raw } = scan(&source)
            .map_err(|error| Error::model(path, format!("is no ONNX file: {error}")))?;
        Self::new(path, model, &raw, source)
    }

    /// `raw`: where in `source` the values of the model's initializers lie that have none.
    pub(super) fn new(
        path: &Path,
        model: pb::ModelProto,
        raw: &[Option<Range<u64>>],
        source: Source,
    ) -> Result<Self, Error> {
        let mut proto = model.graph.ok_or_else(|| Error::model(path, "holds no graph"))?;
        let initializers = std::mem::take(&mut proto.initializer);
        let constants = translate::constants(initializers, raw, &Arc::new(source))
            .map_err(|error| Error::model(path, error))?;
        let nodes = std::mem::take(&mut proto.node).into_iter().map(OnnxNode::new).collect();
        let graph = Graph::new(nodes, constants).map_err(|error| Error::model(path, error))?;
        let mut producers = HashMap::new();
        let mut consumers = HashMap::<String, Vec<usize>>::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs().iter().filter(|output| !output.is_empty()) {
                producers.insert(output.clone(), index);
            }
            for needed in node.needs().collect::<HashSet<_>>() {
                consumers.entry(needed.to_owned()).or_default().push(index);
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
            precision: Precision::F32,
            compute_type: None,
            graph,
            producers,
            consumers,
        })
    }

    /// Sets the precision of linear layers whose weights are f32, for the networks that are cut from
    /// now on; the default is f32. Layers that the file itself quantizes stay as they are.
    ///
    /// [`Precision::Int8`] quantizes as FunASR's exporter does, which leaves out some layers.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the number format of attention and of linear layers that are never quantized, for the
    /// networks that are cut from now on. By default it is the fastest that this machine has if the
    /// other linear layers are int8 or bf16, and f32 if they are f32.
    pub fn with_compute_type(mut self, compute_type: ComputeType) -> Self {
        self.compute_type = Some(compute_type);
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A value that the exporter wrote down (sherpa-onnx keeps a model's constants here).
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// All nodes, each after those that it depends on. Constants are not among them, nor what only
    /// gives another name to a constant.
    pub fn nodes(&self) -> &[OnnxNode] {
        &self.graph.nodes
    }

    /// The value of a tensor that does not depend on the inputs. Large ones are read when their values
    /// are looked at, and kept.
    pub fn constant(&self, tensor: &str) -> Option<&Tensor> {
        self.graph.constants.get(tensor).map(Arc::as_ref)
    }

    /// The node that makes `tensor`: `None` for inputs and constants.
    pub fn producer(&self, tensor: &str) -> Option<&OnnxNode> {
        self.producers.get(tensor).map(|&index| &self.graph.nodes[index])
    }

    /// The nodes that take `tensor`, in order; those whose subgraphs take it too.
    pub fn consumers(&self, tensor: &str) -> impl Iterator<Item = &OnnxNode> {
        let indices = self.consumers.get(tensor).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|&index| &self.graph.nodes[index])
    }

    /// All nodes that `tensor` depends on, in order: its producer is the last.
    pub fn upstream(&self, tensor: &str) -> Vec<&OnnxNode> {
        let mut found = HashSet::new();
        let mut open: Vec<usize> = self.producers.get(tensor).copied().into_iter().collect();
        while let Some(index) = open.pop() {
            if found.insert(index) {
                let needs = self.graph.nodes[index].needs();
                open.extend(needs.filter_map(|needed| self.producers.get(needed)));
            }
        }
        self.in_order(found)
    }

    /// All nodes that depend on `tensor`, in order.
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

    /// All of the graph, as [`Onnx::open`].
    ///
    /// # Errors
    /// [`Error::Model`] if there is not a shape for every input, or a shape or an operator cannot be
    /// worked out.
    pub fn whole(&self, shapes: &[Vec<Dim>]) -> Result<Onnx, Error> {
        let expected = self.inputs.len();
        if shapes.len() != expected {
            let message = format!("has {expected} inputs, not {}", shapes.len());
            return Err(Error::model(&self.path, message));
        }
        let names = self.inputs.iter().map(|port| port.name.as_str());
        let inputs: Vec<_> =
            names.zip(shapes).map(|(name, shape)| Input::new(name, shape.clone())).collect();
        let outputs: Vec<_> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        self.network(&inputs, &outputs)
    }

    /// The part of the graph between `inputs` and `outputs` as a network of its own; any tensor may
    /// be an input or output, and what lies elsewhere need not be runnable. The network takes the
    /// inputs in this order, without those that are [`Input::full_length`].
    ///
    /// # Errors
    /// [`Error::Model`] if an output cannot be computed from the inputs, or holds operators or
    /// shapes that cannot be worked out.
    pub fn network(&self, inputs: &[Input<'_>], outputs: &[&str]) -> Result<Onnx, Error> {
        self.network_with(inputs, outputs, Fused::All)
    }

    /// As [`Self::network`] with one output, whose last axis has scores of classes: this network
    /// gives, in their place, two numbers, the likeliest class and its log-probability, NaN where a
    /// score is not finite. Scores of a segment and a large vocabulary are never in memory all at
    /// once. Also returns the number of classes.
    ///
    /// # Errors
    /// As [`Self::network`], or if the number of classes is open.
    pub fn likeliest(&self, inputs: &[Input<'_>], output: &str) -> Result<(Onnx, usize), Error> {
        let translate = || {
            let (mut model, left) = self.typed(inputs, &[output], Fused::All)?;
            profile::warn_if_generic(&self.path, &model, &left);
            let classes = rewrite::likeliest(&mut model)?;
            Ok((Onnx { runner: Runner::new(model)? }, classes))
        };
        translate().map_err(|error: TractError| Error::model(&self.path, error))
    }

    /// With no more than some operators fused, for comparison.
    pub(super) fn network_with(
        &self,
        inputs: &[Input<'_>],
        outputs: &[&str],
        fused: Fused,
    ) -> Result<Onnx, Error> {
        let translate = || {
            let (model, left) = self.typed(inputs, outputs, fused)?;
            if fused == Fused::All {
                profile::warn_if_generic(&self.path, &model, &left);
            }
            Ok(Onnx { runner: Runner::new(model)? })
        };
        translate().map_err(|error: TractError| Error::model(&self.path, error))
    }

    /// As tract's own, and the nodes of which no rule made anything else.
    pub(super) fn typed(
        &self,
        inputs: &[Input<'_>],
        outputs: &[&str],
        fused: Fused,
    ) -> TractResult<(TypedModel, Vec<profile::Left>)> {
        let element = |name: &str| match self.inputs.iter().find(|port| port.name == name) {
            Some(Port { element: Element::I32, .. }) => i32::datum_type(),
            Some(Port { element: Element::I64, .. }) => i64::datum_type(),
            _ => f32::datum_type(),
        };
        let mut graph = self.graph.cut(inputs, outputs)?;
        let (template, known) = translate::known(inputs);
        masks::fold(&mut graph, &known, outputs);
        graph.prune(outputs);
        if self.precision == Precision::Int8 {
            quantize::quantize(&mut graph);
            graph.prune(outputs);
        }
        if fused != Fused::None {
            fuse::fuse(&mut graph, outputs);
        }
        let rounded = self.precision == Precision::Bf16;
        let quantized = graph.nodes.iter().any(|node| node.op() == fuse::QUANTIZED_LINEAR);
        let fastest = (rounded || quantized).then(ComputeType::fastest);
        let compute_type = self.compute_type.or(fastest).unwrap_or_default();
        if rounded || compute_type == ComputeType::Bf16 {
            operators::round_products(&mut graph);
        }
        let left = profile::left(&graph.nodes);
        let mut model =
            translate::network(graph, template, known, inputs, outputs, element, &self.opsets)?;
        if fused == Fused::All {
            rewrite::rewrite(&mut model, compute_type)?;
        }
        Ok((model, left))
    }
}

fn port(info: &pb::ValueInfoProto) -> Port {
    let (mut element, mut shape) = (Element::Other, Vec::new());
    let value = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    if let Some(pb::type_proto::Value::TensorType(tensor)) = value {
        use pb::tensor_proto::DataType;
        element = match DataType::try_from(tensor.elem_type) {
            Ok(DataType::Float) => Element::F32,
            Ok(DataType::Int32) => Element::I32,
            Ok(DataType::Int64) => Element::I64,
            _ => Element::Other,
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
