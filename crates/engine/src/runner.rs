//! Runs an optimized graph on any number of threads.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
};

use tract_onnx::tract_core::{internal::*, plan};

use crate::{
    decoding::DecoderState,
    error::Error,
    ops,
    profile::{self, OperatorTime, RunProfiler},
};

/// An optimized graph that many threads run at the same time. A run borrows a state (the buffers of
/// one run) and returns it, so that there are as many states as there were concurrent runs.
#[derive(Debug)]
pub(crate) struct Runner {
    plan: Arc<TypedRunnableModel>,
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl Runner {
    pub(crate) fn new(model: TypedModel) -> TractResult<Self> {
        let plan = model.into_optimized()?.into_runnable()?;
        Ok(Self { plan, idle: Mutex::default() })
    }

    pub(crate) fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        let mut state = self.borrow_state()?;
        let outputs = self.run_state(&mut state, inputs)?;
        self.return_state(state);
        Ok(outputs)
    }

    /// Runs with `decoder`, which operators read and write, and returns it.
    pub(crate) fn run_with(
        &self,
        decoder: DecoderState,
        inputs: Vec<Tensor>,
    ) -> (DecoderState, Result<Vec<Tensor>, Error>) {
        let mut state = match self.borrow_state() {
            Ok(state) => state,
            Err(error) => return (decoder, Err(error)),
        };
        state.turn_state.shared.insert(RefCell::new(decoder));
        let outputs = self.run_state(&mut state, inputs);
        let decoder = state.turn_state.shared.remove::<RefCell<DecoderState>>();
        if outputs.is_ok() {
            self.return_state(state);
        }
        (decoder.map(RefCell::into_inner).unwrap_or_default(), outputs)
    }

    /// Returns the names of the operators in order, without inputs and constants.
    #[cfg(test)]
    pub(crate) fn operators(&self) -> Vec<String> {
        let names = self.plan.model().nodes().iter().map(|node| node.op.name().into_owned());
        names.filter(|name| !matches!(name.as_str(), "Source" | "Const")).collect()
    }

    /// Runs, and measures each operator if this thread is being profiled.
    fn run_state(
        &self,
        state: &mut TypedSimpleState,
        inputs: Vec<Tensor>,
    ) -> Result<Vec<Tensor>, Error> {
        let model = self.plan.model();
        let Some(mut profiler) = RunProfiler::begin(model.nodes().len()) else {
            return self.run_state_with(state, inputs, plan::eval);
        };
        let outputs = self.run_state_with(state, inputs, |context, state, node, inputs| {
            let facts = model.node_input_facts(node.id)?;
            let macs = profile::count_macs(node, &facts, context.symbols, context.shared);
            let generic = ops::is_generic(node.op.as_ref());
            let (operator, name) = (node.op.name().into_owned(), node.name.clone());
            let start = profiler.now();
            let outputs = plan::eval(context, state, node, inputs);
            let time = profiler.now() - start;
            profiler.push(OperatorTime { operator, name, start, time, macs, generic });
            outputs
        });
        profiler.end();
        outputs
    }

    fn run_state_with(
        &self,
        state: &mut TypedSimpleState,
        inputs: Vec<Tensor>,
        eval: impl FnMut(
            &EvalContext<'_>,
            Option<&mut (dyn OpState + 'static)>,
            &TypedNode,
            TVec<TValue>,
        ) -> TractResult<TVec<TValue>>,
    ) -> Result<Vec<Tensor>, Error> {
        let (given, expected) = (inputs.len(), self.plan.model().inputs.len());
        if given != expected {
            return Err(Error::input(format!("{given} tensors for {expected} inputs")));
        }
        let inputs = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
        let pool = ops::TensorPool;
        let outputs = state.run_plan_with_eval(inputs, eval);
        drop(pool);
        let outputs = outputs.map_err(Error::run)?;
        Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
    }

    fn borrow_state(&self) -> Result<TypedSimpleState, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.plan.spawn().map_err(Error::run), Ok)
    }

    /// Takes back the state of a run that succeeded. After a failure a state may hold the values of
    /// an unfinished run, so it is dropped.
    fn return_state(&self, state: TypedSimpleState) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
    }
}
