//! Reads the weights of the network from an ONNX file.
//!
//! Exporters name tensors as they like, so the network is recognized by its operators: the nodes
//! between input and output must be those of segmentation-3.0, one after the other, with the same
//! attributes. Sizes may differ where nothing depends on them.

use engine::{
    ConvolutionWeights, ElementType, InstanceNorm, LEAKY_SLOPE, LstmWeights, OnnxFile, OnnxNode,
};

use super::{
    CHUNK_FRAMES, CHUNK_SAMPLES, CLASSES, FRAME_SAMPLES, constants,
    reader::{Reader, foreign},
};

/// Limit on the number of layers of one kind. The network has at most four.
const MAX_LAYERS: usize = 16;
/// Limit on the sizes of layers, so that a damaged file cannot demand any amount of memory.
const MAX_WIDTH: usize = 4096;
/// Rows of a window of max-pooling, and from one to the next.
const POOL: i64 = 3;
/// Samples from one row of the bank to the next.
const BANK_STRIDE: usize = 10;

/// Metadata that says what the network computes, with the only value that is supported.
const METADATA: [(&str, &str); 5] = [
    ("sample_rate", "16000"),
    ("window_size", "160000"),
    ("num_speakers", "3"),
    ("powerset_max_classes", "2"),
    ("num_classes", "7"),
];

pub(super) struct Weights {
    /// Norm of the samples of a chunk.
    pub(super) chunk_norm: InstanceNorm,
    /// Filters, `[channels, taps]`.
    pub(super) bank: Vec<f32>,
    pub(super) bank_stride: usize,
    pub(super) bank_norm: InstanceNorm,
    pub(super) convolutions: Vec<Convolution>,
    /// Both directions of each layer.
    pub(super) lstms: Vec<[LstmWeights; 2]>,
    pub(super) linears: Vec<Layer>,
}

pub(super) struct Convolution {
    pub(super) filters: ConvolutionWeights,
    pub(super) norm: InstanceNorm,
}

/// What a node of a convolution holds.
struct Filters {
    /// `[outputs, channels, kernel]`.
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    kernel: usize,
    outputs: usize,
}

/// A linear layer.
pub(super) struct Layer {
    /// `[outputs, inputs]`.
    pub(super) weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// Reads the weights. Errors are messages that follow the file's name.
pub(super) fn read(file: &OnnxFile) -> Result<Weights, String> {
    check_metadata(file)?;
    if let Some(node) = file.nodes().iter().find(|node| is_quantized(node.op())) {
        return Err(format!(
            "is quantized ({}), which costs this network accuracy and is not supported: use the file \
             of floats, model.onnx",
            node.op()
        ));
    }
    let ([input], [output]) = (file.inputs(), file.outputs()) else {
        let (inputs, outputs) = (file.inputs().len(), file.outputs().len());
        return Err(foreign(&format!(
            "it has {inputs} inputs and {outputs} outputs, not one each"
        )));
    };
    if input.element != ElementType::F32
        || !matches!(input.shape[..], [_, Some(1) | None, None | Some(CHUNK_SAMPLES)])
    {
        return Err(foreign(&format!(
            "its input is not f32 [batch, 1, samples] but {:?}",
            input.shape
        )));
    }
    let mut reader = Reader::new(file, &input.name);
    let weights = reader.weights()?;
    if !reader.ends_at(&output.name) {
        return Err(foreign("its output is not that of the last layer"));
    }
    Ok(weights)
}

fn is_quantized(op: &str) -> bool {
    op.contains("Quantize") || op.contains("Integer") || op.starts_with("QLinear")
}

fn check_metadata(file: &OnnxFile) -> Result<(), String> {
    for (key, expected) in METADATA {
        if let Some(found) = file.metadata(key).filter(|&found| found != expected) {
            return Err(format!(
                "{key} is `{found}` in its metadata, but only {expected} is supported: use \
                 segmentation-3.0, or a model trained from it"
            ));
        }
    }
    Ok(())
}

/// Reads layers one after the other.
impl Reader<'_> {
    fn weights(&mut self) -> Result<Weights, String> {
        let chunk_norm = self.norm(1, false)?;
        let bank = self.filters(1, BANK_STRIDE)?;
        if bank.bias.is_some() {
            return Err(foreign("its first filters have a bias"));
        }
        self.next("Abs")?;
        self.pool()?;
        let bank_norm = self.norm(bank.outputs, true)?;
        let mut frames =
            (CHUNK_SAMPLES.checked_sub(bank.kernel)).map_or(0, |rest| rest / BANK_STRIDE + 1) / 3;
        let (mut width, mut convolutions) = (bank.outputs, Vec::new());
        while self.is_next("Conv") && convolutions.len() < MAX_LAYERS {
            let Filters { weights, bias, kernel, outputs } = self.filters(width, 1)?;
            let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
            self.pool()?;
            let norm = self.norm(outputs, true)?;
            let filters = ConvolutionWeights { weights, bias, kernel };
            convolutions.push(Convolution { filters, norm });
            (frames, width) = ((frames + 1).saturating_sub(kernel) / 3, outputs);
        }
        let shift = BANK_STRIDE * 3usize.pow(1 + convolutions.len() as u32);
        if (frames, shift) != (CHUNK_FRAMES, FRAME_SAMPLES) {
            return Err(foreign(&format!(
                "it has {frames} frames of {shift} samples in ten seconds, not {CHUNK_FRAMES} of \
                 {FRAME_SAMPLES}"
            )));
        }
        let mut lstms = Vec::new();
        while self.is_next("LSTM") && lstms.len() < MAX_LAYERS {
            let directions = self.lstm(width)?;
            width = 2 * directions[0].bias.len() / 4;
            lstms.push(directions);
        }
        let mut linears = Vec::new();
        while self.is_next("MatMul") && linears.len() < MAX_LAYERS {
            let layer = self.linear(width)?;
            width = layer.bias.len();
            linears.push(layer);
            if self.is_next("LeakyRelu") {
                self.leaky_relu()?;
            } else {
                break;
            }
        }
        if width != CLASSES || lstms.is_empty() || linears.is_empty() {
            return Err(foreign(&format!(
                "it has {} LSTM and {} linear layers and {width} classes, not {CLASSES}",
                lstms.len(),
                linears.len()
            )));
        }
        let softmax = self.next("LogSoftmax")?;
        if !matches!(softmax.int("axis"), None | Some(-1 | 2)) {
            return Err(foreign("its softmax is not over classes"));
        }
        if let Some(node) = self.rest() {
            return Err(foreign(&format!("an operator {} follows its classes", node.op())));
        }
        let (bank, bank_stride) = (bank.weights, BANK_STRIDE);
        Ok(Weights { chunk_norm, bank, bank_stride, bank_norm, convolutions, lstms, linears })
    }

    /// Reads an instance norm, and the leaky ReLU after it if `rectified`.
    fn norm(&mut self, channels: usize, rectified: bool) -> Result<InstanceNorm, String> {
        let node = self.next("InstanceNormalization")?;
        let (gamma, beta) = (self.array(node, 1, &[channels])?, self.array(node, 2, &[channels])?);
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(foreign(&format!("the epsilon of `{}` is {epsilon}", node.name())));
        }
        if rectified {
            self.leaky_relu()?;
        }
        Ok(InstanceNorm { gamma, beta, epsilon })
    }

    fn leaky_relu(&mut self) -> Result<(), String> {
        let node = self.next("LeakyRelu")?;
        let slope = node.float("alpha").unwrap_or(LEAKY_SLOPE);
        match slope == LEAKY_SLOPE {
            true => Ok(()),
            false => Err(foreign(&format!("the slope of `{}` is {slope}", node.name()))),
        }
    }

    fn pool(&mut self) -> Result<(), String> {
        let node = self.next("MaxPool")?;
        let fits = node.ints("kernel_shape") == Some(&[POOL])
            && node.ints("strides") == Some(&[POOL])
            && all(node.ints("dilations"), 1)
            && all(node.ints("pads"), 0)
            && node.int("ceil_mode").unwrap_or(0) == 0
            && is_unpadded(node);
        fits.then_some(()).ok_or_else(|| unusual(node))
    }

    fn filters(&mut self, channels: usize, stride: usize) -> Result<Filters, String> {
        let node = self.next("Conv")?;
        let fits = all(node.ints("strides"), stride as i64)
            && (stride == 1 || node.ints("strides").is_some())
            && all(node.ints("dilations"), 1)
            && all(node.ints("pads"), 0)
            && node.int("group").unwrap_or(1) == 1
            && is_unpadded(node);
        if !fits {
            return Err(unusual(node));
        }
        let array = constants::array(self.file(), node, 1)?;
        let &[outputs, found, kernel] = &array.shape[..] else { return Err(unusual(node)) };
        let widths = [outputs, kernel];
        if found != channels || widths.iter().any(|width| !(1..=MAX_WIDTH).contains(width)) {
            return Err(unusual(node));
        }
        let bias = node.input(2).map(|_| self.array(node, 2, &[outputs])).transpose()?;
        Ok(Filters { weights: array.values, bias, kernel, outputs })
    }

    fn lstm(&mut self, inputs: usize) -> Result<[LstmWeights; 2], String> {
        let node = self.next("LSTM")?;
        let changes = ["activations", "activation_alpha", "activation_beta", "clip"];
        let given = |index| node.input(index).is_some();
        let fits = node.text("direction") == Some("bidirectional")
            && node.int("input_forget").unwrap_or(0) == 0
            && node.int("layout").unwrap_or(0) == 0
            && !changes.iter().any(|attribute| node.has(attribute))
            && !given(4)
            && !given(7);
        let width = node.int("hidden_size").and_then(|width| usize::try_from(width).ok());
        let width = width.filter(|width| fits && (1..=MAX_WIDTH).contains(width));
        let width = width.ok_or_else(|| unusual(node))?;
        for state in [5, 6].into_iter().filter_map(|index| node.input(index)) {
            if !self.is_zero(state) {
                return Err(foreign(&format!("`{}` does not start from zeros", node.name())));
            }
        }
        let gates = 4 * width;
        let input = self.array(node, 1, &[2, gates, inputs])?;
        let recurrent = self.array(node, 2, &[2, gates, width])?;
        let bias = match given(3) {
            true => self.array(node, 3, &[2, 2 * gates])?,
            false => vec![0.0; 4 * gates],
        };
        let of_direction = |index: usize| {
            let half = |values: &[f32]| {
                let size = values.len() / 2;
                values[index * size..][..size].to_vec()
            };
            // ONNX has one bias for the input and one for the hidden state.
            let bias = half(&bias);
            let bias = bias[..gates].iter().zip(&bias[gates..]).map(|(a, b)| a + b).collect();
            LstmWeights { input: half(&input), recurrent: half(&recurrent), bias }
        };
        Ok([of_direction(0), of_direction(1)])
    }

    fn linear(&mut self, inputs: usize) -> Result<Layer, String> {
        let node = self.next("MatMul")?;
        let array = constants::array(self.file(), node, 1)?;
        let &[found, outputs] = &array.shape[..] else { return Err(unusual(node)) };
        if found != inputs || !(1..=MAX_WIDTH).contains(&outputs) {
            return Err(unusual(node));
        }
        let by_input = &array.values;
        let weights =
            (0..outputs).flat_map(|o| (0..inputs).map(move |i| by_input[i * outputs + o]));
        let weights = weights.collect();
        let product = node.output();
        let bias = match self.is_next("Add") {
            true => {
                let node = self.next("Add")?;
                // Exporters put the bias first or last.
                let bias = usize::from(node.input(0) == Some(product));
                self.array(node, bias, &[outputs])?
            }
            false => vec![0.0; outputs],
        };
        Ok(Layer { weights, bias })
    }
}

fn all(given: Option<&[i64]>, expected: i64) -> bool {
    given.is_none_or(|values| values.iter().all(|&value| value == expected))
}

fn is_unpadded(node: &OnnxNode) -> bool {
    matches!(node.text("auto_pad"), None | Some("NOTSET" | "VALID"))
}

fn unusual(node: &OnnxNode) -> String {
    foreign(&format!("the shape or an attribute of `{}` ({}) is another", node.name(), node.op()))
}
