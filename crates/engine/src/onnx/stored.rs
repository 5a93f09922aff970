//! Weights that stay in the file until an operator packs them.
//!
//! To tract they are tensors of a storage of ours. Whoever looks at type and shape only, as rules
//! do, reads nothing; [`load`] reads, and keeps nothing. [`with_floats`] and [`with_bytes`] read one
//! weight after the other to the same place, so that memory is not cut into pieces between packed
//! weights, which stay.

use std::{
    cell::RefCell,
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

impl Stored {
    fn read(&self, to: &mut [u8]) -> TractResult<()> {
        let read = self.source.read(self.offset, to);
        read.with_context(|| format!("weights `{}`", self.name))
    }
}

impl Late for Stored {
    fn make(&self) -> TractResult<Tensor> {
        let mut tensor = Tensor::zero_dt(self.kind, &self.shape)?;
        self.read(tensor.as_bytes_mut())?;
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
        check_floats(name, tensor.try_as_plain_ram()?.as_slice()?)?;
    }
    Ok(())
}

fn check_floats(name: &str, values: &[f32]) -> TractResult<()> {
    // All are looked at, so that the loop needs no branches.
    let broken = values.iter().fold(false, |broken, value| broken | value.is_nan());
    ensure!(!broken, "is damaged: a weight of `{name}` is no number; fetch it anew");
    Ok(())
}

thread_local! {
    /// Where weights are while they are packed.
    static FLOATS: RefCell<Vec<f32>> = RefCell::default();
    static BYTES: RefCell<Vec<u8>> = RefCell::default();
}

/// Gives back what reading took.
pub(super) fn release() {
    FLOATS.take();
    BYTES.take();
}

/// Calls `then` with the values of a tensor of f32.
pub(super) fn with_floats<R>(
    tensor: &Arc<Tensor>,
    then: impl FnOnce(&[f32]) -> TractResult<R>,
) -> TractResult<R> {
    let storage = tensor.storage_as::<Storage<Stored>>().filter(|_| is_late(tensor));
    let Some(Storage { maker: stored, .. }) = storage else {
        return then(load(tensor)?.try_as_plain_ram()?.as_slice()?);
    };
    ensure!(stored.kind == f32::datum_type(), "weights `{}` are no floats", stored.name);
    let mut room = FLOATS.take();
    // Never smaller, so that what is there is not cleared again.
    room.resize(room.len().max(tensor.len()), 0.0);
    let values = &mut room[..tensor.len()];
    let result = stored
        .read(bytemuck::cast_slice_mut(values))
        .and_then(|()| check_floats(&stored.name, values))
        .and_then(|()| then(values));
    FLOATS.set(room);
    result
}

/// Calls `then` with the values of a tensor of u8, or of i8 as if they were.
pub(super) fn with_bytes<R>(
    tensor: &Arc<Tensor>,
    then: impl FnOnce(&[u8]) -> TractResult<R>,
) -> TractResult<R> {
    let late = is_late(tensor);
    let stored = tensor.storage_as::<Storage<Stored>>().filter(|_| late);
    let quantized = tensor.storage_as::<Storage<Quantized>>().filter(|_| late);
    if stored.is_none() && quantized.is_none() {
        return then(tensor.as_bytes());
    }
    let mut room = BYTES.take();
    let size = tensor.len();
    room.resize(room.len().max(size), 0);
    let read = match (stored, quantized) {
        (Some(Storage { maker: stored, .. }), _) => stored.read(&mut room[..size]),
        (_, Some(Storage { maker, .. })) => maker.fill(&mut room[..size]),
        _ => Ok(()),
    };
    let result = read.and_then(|()| then(&room[..size]));
    BYTES.set(room);
    result
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
