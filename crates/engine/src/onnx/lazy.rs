//! Tensors whose values are not in memory until an operator packs them.
//!
//! tract sees a lazy tensor as a tensor with a storage of ours. Code that only looks at type and
//! shape, as fusion rules do, reads no values. [`load`] reads them and keeps nothing.
//! [`with_floats`] and [`with_bytes`] read one weight after the other into the same scratch buffer,
//! so that the heap does not fragment between the packed weights, which stay.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    hash::Hasher,
    sync::{Arc, OnceLock},
};

use tract_onnx::tract_core::internal::*;

use super::source::Source;

/// Reads or computes the values of a lazy tensor.
pub(super) trait Loader: Any + fmt::Debug + Send + Sync {
    /// Returns the tensor in memory.
    fn load(&self) -> TractResult<Tensor>;

    /// Writes the values to `to`, row-major.
    fn load_into(&self, to: &mut [u8]) -> TractResult<()>;

    fn byte_len(&self) -> usize;

    /// Returns whether `other` is known to load the same values.
    fn is_same(&self, other: &dyn Any) -> bool;
}

/// Makes a lazy tensor.
pub(super) fn lazy_tensor(kind: DatumType, shape: &[usize], loader: impl Loader) -> Tensor {
    Tensor::from_storage(
        kind,
        shape,
        LazyTensor { loader: Arc::new(loader), loaded: OnceLock::new() },
    )
}

/// Returns whether the values of `tensor` are not in memory.
pub(super) fn is_lazy(tensor: &Tensor) -> bool {
    !tensor.is_plain_ram()
}

/// Returns `tensor` with its values in memory.
pub(super) fn load(tensor: &Arc<Tensor>) -> TractResult<Arc<Tensor>> {
    if is_lazy(tensor) {
        tensor.try_storage_as::<LazyTensor>()?.loader.load().map(Arc::new)
    } else {
        Ok(tensor.clone())
    }
}

thread_local! {
    /// Scratch buffers for weights while they are packed.
    static FLOATS: RefCell<Vec<f32>> = RefCell::default();
    static BYTES: RefCell<Vec<u8>> = RefCell::default();
}

/// Frees the scratch buffers.
pub(super) fn free_scratch() {
    FLOATS.take();
    BYTES.take();
}

/// Calls `then` with the values of an f32 tensor.
pub(super) fn with_floats<R>(
    tensor: &Arc<Tensor>,
    then: impl FnOnce(&[f32]) -> TractResult<R>,
) -> TractResult<R> {
    let lazy = tensor.storage_as::<LazyTensor>().filter(|_| is_lazy(tensor));
    let Some(LazyTensor { loader, .. }) = lazy else {
        return then(tensor.try_as_plain_ram()?.as_slice()?);
    };
    let kind = tensor.datum_type();
    ensure!(kind == f32::datum_type(), "weights are {kind:?}, not f32");
    let mut scratch = FLOATS.take();
    // The buffer never shrinks, so that growing does not clear the same memory again.
    scratch.resize(scratch.len().max(tensor.len()), 0.0);
    let values = &mut scratch[..tensor.len()];
    let read = loader.load_into(bytemuck::cast_slice_mut(values));
    let result = read.and_then(|()| then(values));
    FLOATS.set(scratch);
    result
}

/// Calls `then` with the values of a u8 tensor, or of an i8 tensor reinterpreted as u8.
pub(super) fn with_bytes<R>(
    tensor: &Arc<Tensor>,
    then: impl FnOnce(&[u8]) -> TractResult<R>,
) -> TractResult<R> {
    let lazy = tensor.storage_as::<LazyTensor>().filter(|_| is_lazy(tensor));
    let Some(LazyTensor { loader, .. }) = lazy else { return then(tensor.as_bytes()) };
    let mut scratch = BYTES.take();
    let size = tensor.len();
    scratch.resize(scratch.len().max(size), 0);
    let values = &mut scratch[..size];
    let result = loader.load_into(values).and_then(|()| then(values));
    BYTES.set(scratch);
    result
}

/// Storage of a lazy tensor.
#[derive(Debug)]
struct LazyTensor {
    loader: Arc<dyn Loader>,
    /// Values that were read through tract's accessors, which return references. Only small tensors
    /// are read this way.
    loaded: OnceLock<PlainStorage>,
}

impl PartialEq for LazyTensor {
    fn eq(&self, other: &Self) -> bool {
        let other: &dyn Any = &*other.loader;
        self.loader.is_same(other)
    }
}

impl Eq for LazyTensor {}

impl fmt::Display for LazyTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.loader)
    }
}

impl TensorStorage for LazyTensor {
    fn byte_len(&self) -> usize {
        self.loader.byte_len()
    }

    fn is_empty(&self) -> bool {
        self.byte_len() == 0
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        Box::new(Self { loader: self.loader.clone(), loaded: OnceLock::new() })
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        self.loaded.get()
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        self.loaded.get_mut()
    }

    fn into_plain_ram(self: Box<Self>) -> Option<PlainStorage> {
        self.materialize_plain_ram().ok()?;
        self.loaded.into_inner()
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
        self.loaded.get().is_some()
    }

    fn materialize_plain_ram(&self) -> TractResult<&PlainStorage> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let blob = self.loader.load()?.into_blob()?;
        Ok(self.loaded.get_or_init(|| blob.into()))
    }
}

/// Weights in a file, row-major and little-endian.
#[derive(Debug)]
pub(super) struct FileWeights {
    name: Arc<str>,
    source: Arc<Source>,
    offset: u64,
    bytes: usize,
    kind: DatumType,
    shape: TVec<usize>,
}

impl FileWeights {
    /// Makes a lazy tensor of the weights `name` at `offset`. The caller has checked that the
    /// source holds as many bytes as `kind` and `shape` need.
    pub(super) fn tensor(
        name: &str,
        source: &Arc<Source>,
        offset: u64,
        kind: DatumType,
        shape: &[usize],
    ) -> Tensor {
        let bytes = shape.iter().product::<usize>() * kind.size_of();
        let (name, source) = (name.into(), source.clone());
        lazy_tensor(kind, shape, Self { name, source, offset, bytes, kind, shape: shape.into() })
    }
}

impl Loader for FileWeights {
    fn load(&self) -> TractResult<Tensor> {
        let mut tensor = Tensor::zero_dt(self.kind, &self.shape)?;
        self.load_into(tensor.as_bytes_mut())?;
        Ok(tensor)
    }

    fn load_into(&self, to: &mut [u8]) -> TractResult<()> {
        let read = self.source.read(self.offset, to);
        read.with_context(|| format!("cannot read weights `{}`", self.name))?;
        check_weights(&self.name, self.kind, to)
    }

    fn byte_len(&self) -> usize {
        self.bytes
    }

    fn is_same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| {
            Arc::ptr_eq(&self.source, &other.source)
                && (self.offset, self.kind, &self.shape) == (other.offset, other.kind, &other.shape)
        })
    }
}

/// Refuses f32 weights that are NaN. The outputs of the network need not show them: ReLU, for
/// example, turns NaN into a number.
pub(super) fn check_weights(name: &str, kind: DatumType, bytes: &[u8]) -> TractResult<()> {
    if kind != f32::datum_type() {
        return Ok(());
    }
    // Without an early exit, the loop has no branches.
    let values = bytes.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
    let damaged = values.fold(false, |damaged, value| damaged | value.is_nan());
    ensure!(!damaged, "a weight of `{name}` is NaN: the file is damaged, download it again");
    Ok(())
}
