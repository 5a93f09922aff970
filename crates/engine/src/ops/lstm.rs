//! LSTM layers.

use kernels::lstm;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::f32_macs,
    support::{floats, operator, zeros},
};

/// `LSTM` of ONNX: `x` `[time, batch, inputs]` and, if `stateful`, hidden and cell state
/// `[directions, batch, width]`, to `[time, directions, batch, width]` and the last states.
#[derive(Clone)]
pub(crate) struct Lstm {
    pub(crate) directions: Arc<[Direction]>,
    pub(crate) stateful: bool,
    /// Indices of the outputs in use, of three.
    pub(crate) outputs: TVec<usize>,
}

#[derive(Clone)]
pub(crate) struct Direction {
    pub(crate) weights: lstm::Lstm,
    pub(crate) backward: bool,
}

impl Lstm {
    fn width(&self) -> usize {
        self.directions[0].weights.width()
    }

    fn inputs(&self) -> usize {
        self.directions[0].weights.inputs()
    }
}

impl std::fmt::Debug for Lstm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directions = self.directions.len();
        write!(f, "Lstm({} -> {directions} x {})", self.inputs(), self.width())
    }
}

impl PartialEq for Lstm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.directions, &other.directions)
            && self.stateful == other.stateful
            && self.outputs == other.outputs
    }
}

impl Eq for Lstm {}

operator!(Lstm);

impl EvalOp for Lstm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, batch, _] = inputs[0].shape() else { bail!("takes [time, batch, inputs]") };
        let (width, directions) = (self.width(), self.directions.len());
        let state = [directions, batch, width];
        let (mut hidden, mut cell) = if self.stateful {
            ensure!(
                inputs[1].shape() == state && inputs[2].shape() == state,
                "takes states of shape {state:?}"
            );
            (inputs[1].clone().into_tensor(), inputs[2].clone().into_tensor())
        } else {
            (zeros(&state)?, zeros(&state)?)
        };
        let mut all = zeros(&[time, directions, batch, width])?;
        {
            let (mut hidden, mut cell) =
                (hidden.try_as_plain_ram_mut()?, cell.try_as_plain_ram_mut()?);
            let mut all = all.try_as_plain_ram_mut()?;
            let (hidden, cell) = (hidden.as_slice_mut::<f32>()?, cell.as_slice_mut::<f32>()?);
            let (all, size) = (all.as_slice_mut::<f32>()?, batch * width);
            for (index, direction) in self.directions.iter().enumerate() {
                let state = lstm::State {
                    hidden: &mut hidden[index * size..][..size],
                    cell: &mut cell[index * size..][..size],
                };
                let keep = |time: usize, hidden: &[f32]| {
                    all[(time * directions + index) * size..][..size].copy_from_slice(hidden);
                };
                direction.weights.run(floats(&inputs[0])?, state, direction.backward, keep);
            }
        }
        let results = [all, hidden, cell].map(IntoTValue::into_tvalue);
        Ok(self.outputs.iter().map(|&output| results[output].clone()).collect())
    }
}

impl TypedOp for Lstm {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == if self.stateful { 3 } else { 1 }, "takes x and its states");
        let [time, batch, last] = inputs[0].shape.dims() else {
            bail!("takes [time, batch, inputs], not {:?}", inputs[0].shape)
        };
        ensure!(*last == self.inputs().to_dim(), "takes {} inputs", self.inputs());
        let state = [self.directions.len().to_dim(), batch.clone(), self.width().to_dim()];
        let mut all = state.to_vec();
        all.insert(0, time.clone());
        let shapes = [all, state.to_vec(), state.to_vec()];
        Ok(self.outputs.iter().map(|&output| f32::fact(&*shapes[output])).collect())
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let per_step = 4 * self.width() * (self.inputs() + self.width()) * self.directions.len();
        Ok(f32_macs(inputs[0].shape[0].clone() * &inputs[0].shape[1] * per_step))
    }
}
