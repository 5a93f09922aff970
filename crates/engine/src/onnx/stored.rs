//! Weights that stay in the file until an operator packs them.
//!
//! To tract they are tensors of a storage of ours. Whoever looks at type and shape only, as rules
//! do, reads nothing; [`load`] reads, and keeps nothing.

use std::{
    fmt,
    hash::Hasher,
    sync::{Arc, OnceLock},
};

use tract_onnx::tract_core::internal::*;

use super::{quantize::Quantized, source::Source};

/// Values in a file, row-major and little-endian.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    name: Arc<str>,
    source: Arc<Source>,
    offset: u64,
    bytes: usize,
    kind: DatumType,
    shape: TVec<usize>,
}

impl Stored {
    /// The caller has seen to it that there are as many bytes as `kind` and `shape` say.
    pub(super) fn tensor(
        name: &str,
        source: &Arc<Source>,
        offset: u64,
        kind: DatumType,
        shape: &[usize],
    ) -> Tensor {
        let bytes = shape.iter().product::<usize>() * kind.size_of();
        let (name, source) = (name.into(), source.clone());
        late(kind, shape, Self { name, source, offset, bytes, kind, shape: shape.into() })
    }
}

/// What makes a tensor when it is asked to.
pub(super) trait Late: fmt::Debug + Clone + Send + Sync + 'static {
    fn make(&self) -> TractResult<Tensor>;
    fn bytes(&self) -> usize;
    /// Whether both make the same for sure.
    fn is(&self, other: &Self) -> bool;
}

impl Late for Stored {
    fn make(&self) -> TractResult<Tensor> {
        let mut tensor = Tensor::zero_dt(self.kind, &self.shape)?;
        let read = self.source.read(self.offset, tensor.as_bytes_mut());
        read.with_context(|| format!("weights `{}`", self.name))?;
        check(&self.name, &tensor)?;
        Ok(tensor)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
            && (self.offset, self.kind, &self.shape) == (other.offset, other.kind, &other.shape)
    }
}

/// A weight that is no number need not show in what a network computes: ReLU swallows it.
pub(super) fn check(name: &str, tensor: &Tensor) -> TractResult<()> {
    if tensor.datum_type() == f32::datum_type() {
        let values = tensor.try_as_plain_ram()?.as_slice::<f32>()?;
        // All are looked at, so that the loop needs no branches.
        let broken = values.iter().fold(false, |broken, value| broken | value.is_nan());
        ensure!(!broken, "is damaged: a weight of `{name}` is no number; fetch it anew");
    }
    Ok(())
}

/// A tensor that `maker` makes.
pub(super) fn late(kind: DatumType, shape: &[usize], maker: impl Late) -> Tensor {
    Tensor::from_storage(kind, shape, Storage { maker, here: OnceLock::new() })
}

/// Whether the values of `tensor` are still where [`load`] gets them from.
pub(super) fn is_late(tensor: &Tensor) -> bool {
    !tensor.is_plain_ram()
}

/// `tensor` in memory.
pub(super) fn load(tensor: &Arc<Tensor>) -> TractResult<Arc<Tensor>> {
    if !is_late(tensor) {
        Ok(tensor.clone())
    } else if let Some(stored) = tensor.storage_as::<Storage<Stored>>() {
        stored.maker.make().map(Arc::new)
    } else {
        let quantized = tensor.try_storage_as::<Storage<Quantized>>()?;
        quantized.maker.make().map(Arc::new)
    }
}

#[derive(Debug)]
struct Storage<M> {
    maker: M,
    /// Values that somebody read as if they were in memory. tract's way, which gives a reference: it
    /// is for small tensors.
    here: OnceLock<PlainStorage>,
}

impl<M: Late> PartialEq for Storage<M> {
    fn eq(&self, other: &Self) -> bool {
        self.maker.is(&other.maker)
    }
}

impl<M: Late> Eq for Storage<M> {}

impl<M: Late> fmt::Display for Storage<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.maker)
    }
}

impl<M: Late> TensorStorage for Storage<M> {
    fn byte_len(&self) -> usize {
        self.maker.bytes()
    }

    fn is_empty(&self) -> bool {
        self.byte_len() == 0
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        Box::new(Self { maker: self.maker.clone(), here: OnceLock::new() })
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        self.here.get()
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        self.here.get_mut()
    }

    fn into_plain_ram(self: Box<Self>) -> Option<PlainStorage> {
        self.materialize_plain_ram().ok()?;
        self.here.into_inner()
    }

    fn dyn_hash(&self, state: &mut dyn Hasher) {
        state.write_usize(self.byte_len());
    }

    fn exotic_fact(&self, _: &[usize]) -> TractResult<Option<Box<dyn ExoticFact>>> {
        Ok(None)
    }

    fn is_exotic(&self) -> bool {
        false
    }

    fn in_ram(&self) -> bool {
        self.here.get().is_some()
    }

    fn materialize_plain_ram(&self) -> TractResult<&PlainStorage> {
        if let Some(here) = self.here.get() {
            return Ok(here);
        }
        let blob = self.maker.make()?.into_blob()?;
        Ok(self.here.get_or_init(|| blob.into()))
    }
}
