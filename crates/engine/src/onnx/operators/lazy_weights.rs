//! Lazy weights as an input of an operator that packs them.

use tract_onnx::{tract_core::internal::*, tract_hir::internal::*};

use crate::ops;

/// Weights that an operator reads when it is wired.
#[derive(Debug, Clone)]
pub(in crate::onnx) struct LazyWeights(pub(in crate::onnx) Arc<Tensor>);

impl Expansion for LazyWeights {
    fn name(&self) -> StaticName {
        "LazyWeights".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        _: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        s.equals(&outputs[0].datum_type, self.0.datum_type())?;
        s.equals(&outputs[0].shape, ShapeFactoid::from(self.0.shape()))
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        _: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, ops::LazyWeights(self.0.clone()), &[])
    }
}
