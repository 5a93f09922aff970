use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
};

use tract_onnx::tract_core::{internal::*, plan};

use crate::{
    Error, OperatorTime,
    decoding::Decoding,
    ops,
    profile::{self, Running},
};

/// A finished graph that many threads run at once: states (the buffers of one run) are lent to
/// calls and come back, so that there are as many as there were calls at the same time.
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
        let outputs = self.turn(&mut state, inputs)?;
        self.give_back(state);
        Ok(outputs)
    }

    /// Lends `decoding` to the operators of this run.
    pub(crate) fn run_with(
        &self,
        decoding: Decoding,
        inputs: Vec<Tensor>,
    ) -> (Decoding, Result<Vec<Tensor>, Error>) {
        let mut state = match self.borrow_state() {
            Ok(state) => state,
            Err(error) => return (decoding, Err(error)),
        };
        state.turn_state.shared.insert(RefCell::new(decoding));
        let outputs = self.turn(&mut state, inputs);
        let decoding = state.turn_state.shared.remove::<RefCell<Decoding>>();
        if outputs.is_ok() {
            self.give_back(state);
        }
        (decoding.map(RefCell::into_inner).unwrap_or_default(), outputs)
    }

    #[cfg(test)]
    pub(crate) fn operators(&self) -> Vec<String> {
        let names = self.plan.model().nodes().iter().map(|node| node.op.name().into_owned());
        names.filter(|name| !matches!(name.as_str(), "Source" | "Const")).collect()
    }

    fn turn(
        &self,
        state: &mut TypedSimpleState,
        inputs: Vec<Tensor>,
    ) -> Result<Vec<Tensor>, Error> {
        let model = self.plan.model();
        let Some(mut running) = Running::begin(model.nodes().len()) else {
            return self.turn_with(state, inputs, plan::eval);
        };
        let outputs = self.turn_with(state, inputs, |context, state, node, inputs| {
            let facts = model.node_input_facts(node.id)?;
            let products = profile::products(node, &facts, context.symbols, context.shared);
            let generic = profile::is_generic(node.op.as_ref());
            let (operator, name) = (node.op.name().into_owned(), node.name.clone());
            let start = running.now();
            let outputs = plan::eval(context, state, node, inputs);
            let time = running.now() - start;
            running.push(OperatorTime { operator, name, start, time, products, generic });
            outputs
        });
        running.end();
        outputs
    }

    fn turn_with(
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
        let (given, taken) = (inputs.len(), self.plan.model().inputs.len());
        if given != taken {
            return Err(Error::Input(format!("{given} tensors for {taken} inputs")));
        }
        let inputs = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
        let room = ops::Room;
        let outputs = state.run_plan_with_eval(inputs, eval);
        drop(room);
        let outputs = outputs.map_err(|error| Error::Run(format!("{error:#}")))?;
        Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
    }

    fn borrow_state(&self) -> Result<TypedSimpleState, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.plan.spawn().map_err(|error| Error::Run(format!("{error:#}"))), Ok)
    }

    /// For states that ran well only: one that failed may be half way through a turn.
    fn give_back(&self, state: TypedSimpleState) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
    }
}
