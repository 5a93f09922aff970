//! Subsampling of time and mel bins by convolutions.

use std::{cell::RefCell, ops::Range};

use kernels::{
    PostOp, Rows,
    convolution::{Convolution, Finish, Window},
    depthwise,
};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::{bf16_macs, f32_macs},
    pool::{pooled_tensor, recycle},
    support::{floats, operator},
};
use crate::{conformer::SubsamplingWeights, error::Error, linear::Linear, precision::Precision};

/// Output rows that are computed together, so that the larger rows before them stay in the cache.
const BLOCK: usize = 4;
/// Of all convolutions over both axes, with zero padding "same". Zeros before and after time are in
/// the blocks.
const WINDOW: Window =
    Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], before: [0, 1], after: [0, 1] };

/// Halves time and bins, once per stage: `[time, bins]` to `[time / 2^stages, bins / 2^stages *
/// channels]`, rounded up, with channels as the inner axis.
#[derive(Debug, Clone)]
pub(crate) struct Subsampling {
    layers: Arc<Layers>,
}

struct Layers {
    first: Convolution<f32>,
    bias: Vec<f32>,
    stages: Vec<Stage>,
}

struct Stage {
    /// `[3, 3, channels]`.
    depthwise: Vec<f32>,
    bias: Vec<f32>,
    pointwise: Linear,
}

/// Rows of each stage, of which the features are the first; and of depthwise convolutions.
#[derive(Default)]
struct Scratch {
    rows: Vec<Vec<f32>>,
    convolved: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Returns half of a length, rounded up.
fn half(length: usize) -> usize {
    length.div_ceil(2)
}

impl Subsampling {
    /// Packs the weights. Pointwise convolutions compute in `precision`, the others in f32.
    ///
    /// # Errors
    /// [`Error::Graph`] if the sizes do not fit.
    pub(crate) fn new(weights: SubsamplingWeights, precision: Precision) -> Result<Self, Error> {
        let SubsamplingWeights { first, bias, stages } = weights;
        let (channels, taps) = (bias.len(), WINDOW.kernel[0] * WINDOW.kernel[1]);
        let fits = channels > 0
            && first.len() == channels * taps
            && stages.iter().all(|stage| {
                stage.depthwise.len() == channels * taps
                    && stage.depthwise_bias.len() == channels
                    && stage.pointwise.len() == channels * channels
                    && stage.pointwise_bias.len() == channels
            });
        if !fits {
            return Err(Error::graph(format!("the subsampling does not fit {channels} channels")));
        }
        let stages = stages.into_iter().map(|stage| {
            let mut by_tap = vec![0.0; stage.depthwise.len()];
            for (index, weight) in stage.depthwise.iter().enumerate() {
                by_tap[index % taps * channels + index / taps] = *weight;
            }
            let bias = Some(stage.pointwise_bias);
            let pointwise = match precision {
                Precision::F32 => Linear::float(&stage.pointwise, channels, bias)?,
                Precision::Bf16 => Linear::bf16(&stage.pointwise, channels, bias)?,
                Precision::Int8 => Linear::quantize(&stage.pointwise, channels, bias)?,
            };
            Ok(Stage { depthwise: by_tap, bias: stage.depthwise_bias, pointwise })
        });
        let stages = stages.collect::<Result<_, Error>>()?;
        let first = Convolution::pack(&first, channels, 1, WINDOW);
        Ok(Self { layers: Arc::new(Layers { first, bias, stages }) })
    }
}

impl Layers {
    fn stages(&self) -> usize {
        1 + self.stages.len()
    }

    /// Computes the rows `range` of the output of `stage`, which may lie outside of it: those are
    /// zero. Stage 0 are the features `x`, `[time, bins]`.
    fn run(&self, x: Rows<'_>, stage: usize, range: Range<isize>, scratch: &mut Scratch) {
        let bins = (0..stage).fold(x.stride, |bins, _| half(bins));
        let time = (0..stage).fold(x.count, |time, _| half(time));
        let count = range.len();
        if stage == 0 {
            let rows = &mut scratch.rows[0];
            rows.clear();
            for row in range {
                match usize::try_from(row).ok().filter(|&row| row < time) {
                    Some(row) => rows.extend_from_slice(&x.values[row * bins..][..bins]),
                    None => rows.resize(rows.len() + bins, 0.0),
                }
            }
            return;
        }
        self.run(x, stage - 1, 2 * range.start - 1..2 * range.end, scratch);
        let channels = self.bias.len();
        let (before, after) = scratch.rows.split_at_mut(stage);
        let (from, to) = (&before[stage - 1], &mut after[0]);
        let shape = [2 * count + 1, (0..stage - 1).fold(x.stride, |bins, _| half(bins))];
        to.resize(count * bins * channels, 0.0);
        match stage.checked_sub(2) {
            None => {
                let rows = Rows { values: from, stride: 1, count: shape[0] * shape[1] };
                let activation = PostOp::Relu;
                let finish = Finish { bias: Some(&self.bias), activation, ..Finish::default() };
                self.first.apply(rows, shape, None, finish, to);
            }
            Some(index) => {
                let Stage { depthwise, bias, pointwise } = &self.stages[index];
                let convolved = &mut scratch.convolved;
                convolved.resize(to.len(), 0.0);
                depthwise::convolve_planes(from, shape, depthwise, bias, &WINDOW, convolved);
                pointwise.apply(convolved, PostOp::Relu, to);
            }
        }
        for (row, to) in range.zip(to.chunks_exact_mut(bins * channels)) {
            if !(0..time as isize).contains(&row) {
                to.fill(0.0);
            }
        }
    }
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} stages of {} channels", self.stages(), self.bias.len())
    }
}

impl PartialEq for Subsampling {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layers, &other.layers)
    }
}

impl Eq for Subsampling {}

operator!(Subsampling);

impl EvalOp for Subsampling {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, bins] = inputs[0].shape() else { bail!("takes [time, bins]") };
        let (layers, stages) = (&*self.layers, self.layers.stages());
        let halved = |length: usize| (0..stages).fold(length, |length, _| half(length));
        let columns = halved(bins) * layers.bias.len();
        let mut out = pooled_tensor::<f32>(&[halved(time), columns])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let x = Rows { values: floats(&inputs[0])?, stride: bins, count: time };
        SCRATCH.with_borrow_mut(|scratch| -> TractResult<()> {
            scratch.rows.resize_with(stages + 1, Vec::new);
            let outs = view.as_slice_mut::<f32>()?.chunks_mut(BLOCK * columns);
            for (block, out) in outs.enumerate() {
                let first = (block * BLOCK) as isize;
                layers.run(x, stages, first..first + (out.len() / columns) as isize, scratch);
                out.copy_from_slice(&scratch.rows[stages]);
            }
            Ok(())
        })?;
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Subsampling {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [time, bins] = inputs[0].shape.dims() else {
            bail!("takes [time, bins], not {:?}", inputs[0].shape)
        };
        let stages = self.layers.stages();
        let time = (0..stages).fold(time.clone(), |time, _| (time + 1) / 2);
        let bins = (0..stages).fold(bins.to_usize()?, |bins, _| half(bins));
        Ok(tvec!(f32::fact([time, (bins * self.layers.bias.len()).to_dim()])))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let channels = self.layers.bias.len();
        let (mut time, mut bins) = (inputs[0].shape[0].clone(), inputs[0].shape[1].to_usize()?);
        let (mut float, mut pointwise) = (0.to_dim(), 0.to_dim());
        for stage in 0..self.layers.stages() {
            (time, bins) = ((time + 1) / 2, half(bins));
            let outputs = time.clone() * (bins * channels);
            float += outputs.clone() * (WINDOW.kernel[0] * WINDOW.kernel[1]);
            if stage > 0 {
                pointwise += outputs * channels;
            }
        }
        let rounded = self.layers.stages.iter().any(|stage| stage.pointwise.is_bf16());
        let mut costs = f32_macs(float);
        costs.extend(if rounded { bf16_macs(pointwise) } else { f32_macs(pointwise) });
        Ok(costs)
    }
}
