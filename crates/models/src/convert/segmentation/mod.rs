//! pyannote's segmentation-3.0: who of three speakers speaks when, in ten seconds of audio.
//!
//! pyannote publishes the network (<https://huggingface.co/pyannote/segmentation-3.0>, MIT, CNRS) as PyTorch
//! Lightning wrote it. The graph that is written here has the inputs, outputs and metadata of sherpa-onnx's
//! export, and the structure that PyTorch's exporter gives it. SincNet's filters, which the
//! checkpoint has as band edges, are computed once ([`filters`]).

use std::collections::HashMap;

use protobuf::write_bytes;

use super::ConvertError;
use super::checkpoint::Parameter;
use super::message::{Attribute, Axis, integers, model, node, port, tensor};
use crate::Family;

/// A parameter that no other network of the catalogue has.
pub(super) const MARK: &str = "sincnet.wav_norm1d.weight";

const SAMPLE_RATE: f32 = 16_000.0;
/// Number of bands. Each has an even and an odd filter.
const BANDS: usize = 40;
/// Taps of a filter on one side of its middle.
const SIDE: usize = 125;
const TAPS: usize = 2 * SIDE + 1;
/// Samples between two outputs of the filters.
const STRIDE: i64 = 10;
/// Hz: the least low edge, and the least width, of a band.
const LEAST_HZ: f32 = 50.0;
/// Channels after each convolution, and its taps.
const CONVOLUTIONS: [(usize, usize); 3] = [(2 * BANDS, TAPS), (60, 5), (60, 5)];
const LSTM_LAYERS: usize = 4;
/// Values of the state of one direction.
const HIDDEN: usize = 128;
/// Outputs of the linear layers; the last are the classes.
const LINEAR: [(&str, usize); 3] = [("linear.0", 128), ("linear.1", 128), ("classifier", CLASSES)];
/// Nobody, each of three speakers, and each pair of them.
const CLASSES: usize = 7;

/// What sherpa-onnx reads from the file.
const METADATA: [(&str, &str); 14] = [
    ("model_type", "pyannote-segmentation-3.0"),
    ("version", "1"),
    ("model_author", "pyannote"),
    ("maintainer", "scriptorium"),
    ("sample_rate", "16000"),
    ("window_size", "160000"),
    ("receptive_field_size", "991"),
    ("receptive_field_shift", "270"),
    ("num_speakers", "3"),
    ("powerset_max_classes", "2"),
    ("num_classes", "7"),
    ("url_1", "https://huggingface.co/pyannote/segmentation-3.0"),
    ("url_2", "https://github.com/pyannote/pyannote-audio"),
    ("license", "MIT, Copyright (c) 2023 CNRS"),
];

/// Returns the network with these parameters as an ONNX file: input `x`, f32 `[N, 1, T]`, output `y`, f32
/// `[N, frames, 7]`. Parameters that it does not have are ignored, such as a training's loss.
///
/// # Errors
/// A parameter is missing, has another shape, or holds a value that is not finite.
pub(super) fn to_onnx(parameters: Vec<Parameter>) -> Result<Vec<u8>, ConvertError> {
    let parameters = parameters.into_iter().map(|parameter| (parameter.name.clone(), parameter));
    let mut graph = Graph { parameters: parameters.collect(), ..Graph::default() };
    let mut output = graph.normalize("x", "sincnet.wav_norm1d", 1)?;
    let mut channels = 1;
    for (layer, (outputs, taps)) in CONVOLUTIONS.into_iter().enumerate() {
        output = if layer == 0 {
            let bank = graph.bank()?;
            let bands = graph.convolve(&output, "sincnet.conv1d.0", &[&bank], TAPS, STRIDE);
            graph.apply("Abs", &[&bands], "sincnet.conv1d.0.abs", &[])
        } else {
            let name = format!("sincnet.conv1d.{layer}");
            let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
            graph.copy(&weight, &[outputs, channels, taps])?;
            graph.copy(&bias, &[outputs])?;
            graph.convolve(&output, &name, &[&weight, &bias], taps, 1)
        };
        channels = outputs;
        let name = format!("sincnet.norm1d.{layer}");
        let three = || Attribute::Ints(&[3]);
        let pool = [("kernel_shape", three()), ("strides", three())];
        output = graph.apply("MaxPool", &[&output], &format!("{name}.pool"), &pool);
        output = graph.normalize(&output, &name, channels)?;
        output = graph.leaky_relu(&output);
    }
    // The LSTM takes [frames, N, channels].
    output = graph.transpose(&output, "lstm.in", &[2, 0, 1]);
    graph.initializers.push(integers("lstm.shape", &[0, 0, -1]));
    for layer in 0..LSTM_LAYERS {
        output = graph.lstm(&output, layer, channels)?;
        channels = 2 * HIDDEN;
    }
    output = graph.transpose(&output, "lstm.out", &[1, 0, 2]);
    for (index, (name, outputs)) in LINEAR.into_iter().enumerate() {
        output = graph.linear(&output, name, channels, outputs)?;
        channels = outputs;
        if index + 1 < LINEAR.len() {
            output = graph.leaky_relu(&output);
        }
    }
    graph.apply("LogSoftmax", &[&output], "y", &[("axis", Attribute::Int(-1))]);
    Ok(model(&graph.finish(), &METADATA))
}

/// The nodes and weights so far.
#[derive(Default)]
struct Graph {
    /// Those of the checkpoint that were not needed yet.
    parameters: HashMap<String, Parameter>,
    nodes: Vec<Vec<u8>>,
    initializers: Vec<Vec<u8>>,
}

impl Graph {
    /// Takes a parameter of the checkpoint.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Parameter, ConvertError> {
        let parameter = self.parameters.remove(name).ok_or_else(|| ConvertError::Missing {
            family: Family::PyannoteSegmentation,
            name: name.to_owned(),
        })?;
        if parameter.shape != shape {
            return Err(ConvertError::Shape {
                name: name.to_owned(),
                found: parameter.shape,
                expected: shape.to_owned(),
            });
        }
        parameter.check_finite()?;
        Ok(parameter)
    }

    fn add(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) -> String {
        self.initializers.push(tensor(&Parameter { name: name.clone(), shape, values }));
        name
    }

    /// Takes a parameter of the checkpoint for the graph, under its own name.
    fn copy(&mut self, name: &str, shape: &[usize]) -> Result<(), ConvertError> {
        let parameter = self.take(name, shape)?;
        self.initializers.push(tensor(&parameter));
        Ok(())
    }

    /// Adds a node of one output, and returns the name of that.
    fn apply(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        self.nodes.push(node(operator, inputs, &[output], attributes));
        output.to_owned()
    }

    /// Brings each channel to a mean of 0 and a variance of 1 over time.
    fn normalize(
        &mut self,
        input: &str,
        name: &str,
        channels: usize,
    ) -> Result<String, ConvertError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.copy(&weight, &[channels])?;
        self.copy(&bias, &[channels])?;
        let epsilon = [("epsilon", Attribute::Float(1e-5))];
        Ok(self.apply("InstanceNormalization", &[input, &weight, &bias], name, &epsilon))
    }

    fn leaky_relu(&mut self, input: &str) -> String {
        let slope = [("alpha", Attribute::Float(0.01))];
        self.apply("LeakyRelu", &[input], &format!("{input}.relu"), &slope)
    }

    fn transpose(&mut self, input: &str, name: &str, axes: &[i64]) -> String {
        self.apply("Transpose", &[input], name, &[("perm", Attribute::Ints(axes))])
    }

    fn convolve(
        &mut self,
        input: &str,
        name: &str,
        weights: &[&str],
        taps: usize,
        stride: i64,
    ) -> String {
        let inputs = [&[input], weights].concat();
        let (taps, strides) = ([taps as i64], [stride]);
        let attributes =
            [("kernel_shape", Attribute::Ints(&taps)), ("strides", Attribute::Ints(&strides))];
        self.apply("Conv", &inputs, name, &attributes)
    }

    /// Adds SincNet's filters as one weight `[80, 1, 251]`.
    fn bank(&mut self) -> Result<String, ConvertError> {
        let mut take = |part: &str, shape: &[usize]| {
            let name = format!("sincnet.conv1d.0.filterbank.{part}");
            self.take(&name, shape).map(|parameter| parameter.values)
        };
        let (low, band) = (take("low_hz_", &[BANDS, 1])?, take("band_hz_", &[BANDS, 1])?);
        let (window, times) = (take("window_", &[SIDE])?, take("n_", &[1, SIDE])?);
        let name = "sincnet.conv1d.0.filters".to_owned();
        let values = filters(&low, &band, &window, &times);
        let bank = Parameter { name: name.clone(), shape: vec![2 * BANDS, 1, TAPS], values };
        bank.check_finite()?;
        self.initializers.push(tensor(&bank));
        Ok(name)
    }

    /// Adds a layer of the LSTM with both directions. Takes and returns `[frames, N, channels]`.
    fn lstm(&mut self, input: &str, layer: usize, channels: usize) -> Result<String, ConvertError> {
        let name = format!("lstm.{layer}");
        let directions = [format!("_l{layer}"), format!("_l{layer}_reverse")];
        let mut weights = Vec::new();
        for (kind, width) in [("ih", channels), ("hh", HIDDEN)] {
            let mut values = Vec::new();
            for direction in &directions {
                let weight = format!("lstm.weight_{kind}{direction}");
                let weight = self.take(&weight, &[4 * HIDDEN, width])?.values;
                values.extend(gates(&weight, width));
            }
            let shape = vec![2, 4 * HIDDEN, width];
            weights.push(self.add(format!("{name}.{kind}"), shape, values));
        }
        let mut values = Vec::new();
        for direction in &directions {
            for kind in ["ih", "hh"] {
                let bias = self.take(&format!("lstm.bias_{kind}{direction}"), &[4 * HIDDEN])?;
                values.extend(gates(&bias.values, 1));
            }
        }
        let bias = self.add(format!("{name}.bias"), vec![2, 8 * HIDDEN], values);
        let attributes = [
            ("direction", Attribute::Text("bidirectional")),
            ("hidden_size", Attribute::Int(HIDDEN as i64)),
        ];
        let inputs = [input, &weights[0], &weights[1], &bias];
        let output = self.apply("LSTM", &inputs, &name, &attributes);
        // [frames, directions, N, 128] becomes [frames, N, directions x 128].
        let output = self.transpose(&output, &format!("{name}.transposed"), &[0, 2, 1, 3]);
        Ok(self.apply("Reshape", &[&output, "lstm.shape"], &format!("{name}.joined"), &[]))
    }

    fn linear(
        &mut self,
        input: &str,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<String, ConvertError> {
        let rows = self.take(&format!("{name}.weight"), &[outputs, inputs])?.values;
        let columns = (0..inputs * outputs).map(|i| rows[i % outputs * inputs + i / outputs]);
        let weight = self.add(format!("{name}.weight"), vec![inputs, outputs], columns.collect());
        let bias = format!("{name}.bias");
        self.copy(&bias, &[outputs])?;
        let product = self.apply("MatMul", &[input, &weight], &format!("{name}.product"), &[]);
        Ok(self.apply("Add", &[&product, &bias], name, &[]))
    }

    /// Returns the `GraphProto`.
    fn finish(self) -> Vec<u8> {
        let mut graph = Vec::new();
        for node in &self.nodes {
            write_bytes(&mut graph, 1, node);
        }
        write_bytes(&mut graph, 2, b"segmentation");
        for initializer in &self.initializers {
            write_bytes(&mut graph, 5, initializer);
        }
        let batch = || Axis::Any("N");
        let input = port("x", &[batch(), Axis::Fixed(1), Axis::Any("T")]);
        let output = port("y", &[batch(), Axis::Any("frames"), Axis::Fixed(CLASSES)]);
        write_bytes(&mut graph, 11, &input);
        write_bytes(&mut graph, 12, &output);
        graph
    }
}

/// Returns the rows of an LSTM's weight `[4 x 128, width]` in ONNX's order of gates (input, output,
/// forget, cell). PyTorch's is input, forget, cell, output.
fn gates(rows: &[f32], width: usize) -> impl Iterator<Item = f32> + '_ {
    let gate = HIDDEN * width;
    [0, 3, 1, 2].into_iter().flat_map(move |index| rows[index * gate..][..gate].iter().copied())
}

/// Returns the band-pass filters `[80, 251]`, 40 even ones and 40 odd ones (ParamSincFB of the package
/// asteroid-filterbanks, with its bounds).
///
/// `low` and `band` are the low edges and widths of 40 bands, in Hz; `window` is the left half of a window,
/// and `times` are the times of its taps before the middle, times 2 pi, in seconds.
///
/// Products are rounded as in PyTorch, and sines computed in f64, whose last bit is not the same
/// in every C library: rounded to f32, they are.
fn filters(low: &[f32], band: &[f32], window: &[f32], times: &[f32]) -> Vec<f32> {
    let sin = |angle: f32| f64::from(angle).sin() as f32;
    let cos = |angle: f32| f64::from(angle).cos() as f32;
    let mut even = Vec::with_capacity(2 * BANDS * TAPS);
    let mut odd = Vec::with_capacity(BANDS * TAPS);
    for (low, band) in low.iter().zip(band) {
        let low = LEAST_HZ + low.abs();
        let high = (low + LEAST_HZ + band.abs()).clamp(LEAST_HZ, SAMPLE_RATE / 2.0);
        let middle = 2.0 * (high - low);
        let left = |difference: &dyn Fn(f32) -> f32| -> Vec<f32> {
            let taps = times.iter().zip(window);
            taps.map(|(&time, window)| difference(time) / (time / 2.0) * window / middle).collect()
        };
        let side = left(&|time| sin(high * time) - sin(low * time));
        // The tap in the middle is `middle / middle`, which is no number where the band is empty: then the caller refuses
        // the filter.
        let tap = if middle == 0.0 { f32::NAN } else { 1.0 };
        even.extend(side.iter().copied().chain([tap]).chain(side.iter().rev().copied()));
        let side = left(&|time| cos(low * time) - cos(high * time));
        odd.extend(side.iter().copied().chain([0.0]).chain(side.iter().rev().map(|tap| -tap)));
    }
    even.extend(odd);
    even
}

#[cfg(test)]
mod tests;
