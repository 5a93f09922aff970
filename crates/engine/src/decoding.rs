//! State that an autoregressive decoder keeps between steps.

use std::sync::Arc;

use kernels::{
    Rows,
    attention::{ComputeType, PackedKeyValues},
};
use tract_onnx::prelude::Tensor;

use crate::{error::Error, tensor::values};

/// Keys and values of the decoded positions, for one or more beams of the same length.
///
/// Each beam is allocated for all positions from the start, so that a step appends in place. The
/// operating system commits a page when it is first written.
#[derive(Debug, Default)]
pub struct KeyValueCache {
    shape: Shape,
    length: usize,
    /// Per beam `[layers][keys, values][heads][capacity][head width]`.
    beams: Vec<Vec<f32>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    layers: usize,
    heads: usize,
    head_width: usize,
    capacity: usize,
}

impl KeyValueCache {
    /// Makes an empty cache with one beam. `width` is that of all heads together, `capacity` the
    /// number of positions.
    pub fn new(layers: usize, heads: usize, width: usize, capacity: usize) -> Self {
        let shape = Shape { layers, heads, head_width: width / heads.max(1), capacity };
        Self { shape, length: 0, beams: vec![shape.empty_beam()] }
    }

    /// Returns the number of decoded positions.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the number of beams.
    pub fn beams(&self) -> usize {
        self.beams.len()
    }

    /// Replaces the beams: the new beam `i` is a copy of the old beam `parents[i]`.
    ///
    /// # Errors
    /// [`Error::Input`] if a parent does not exist, or if there is none.
    pub fn reorder(&mut self, parents: &[usize]) -> Result<(), Error> {
        let count = self.beams.len();
        if let Some(parent) = parents.iter().find(|&&parent| parent >= count) {
            return Err(Error::input(format!("there is no beam {parent}, only {count}")));
        }
        if parents.is_empty() {
            return Err(Error::input("no beam would be left"));
        }
        let mut old: Vec<Option<Vec<f32>>> =
            std::mem::take(&mut self.beams).into_iter().map(Some).collect();
        // The last child of a parent takes over its memory, earlier ones copy the filled part.
        let mut beams = Vec::with_capacity(parents.len());
        for (index, &parent) in parents.iter().enumerate() {
            let last = !parents[index + 1..].contains(&parent);
            let beam =
                if last { old[parent].take() } else { old[parent].as_ref().map(|b| self.copy(b)) };
            beams.extend(beam);
        }
        self.beams = beams;
        Ok(())
    }

    fn copy(&self, beam: &[f32]) -> Vec<f32> {
        let mut copy = self.shape.empty_beam();
        let (head, filled) = (self.shape.head_size(), self.length * self.shape.head_width);
        if head > 0 {
            for (copy, beam) in copy.chunks_exact_mut(head).zip(beam.chunks_exact(head)) {
                copy[..filled].copy_from_slice(&beam[..filled]);
            }
        }
        copy
    }

    /// Checks that a step may add `added` positions to each of `beams` beams.
    pub(crate) fn check_step(&self, beams: usize, added: usize) -> Result<(), Error> {
        let count = self.beams.len();
        if beams != count {
            return Err(Error::input(format!("tokens for {beams} beams, the cache has {count}")));
        }
        if added == 0 {
            return Err(Error::input("a step without tokens"));
        }
        if added > self.shape.capacity - self.length {
            return Err(Error::input(format!(
                "{added} tokens after {} exceed {} positions",
                self.length, self.shape.capacity
            )));
        }
        Ok(())
    }

    pub(crate) fn advance(&mut self, added: usize) {
        self.length += added;
    }

    /// Returns keys and values of one head, each `[capacity][head width]`.
    pub(crate) fn head(
        &mut self,
        beam: usize,
        layer: usize,
        head: usize,
    ) -> Option<(&mut [f32], &mut [f32])> {
        let size = self.shape.head_size();
        let half = self.shape.heads * size;
        let layer = self.beams.get_mut(beam)?.get_mut(layer * 2 * half..(layer + 1) * 2 * half)?;
        let (keys, values) = layer.split_at_mut(half);
        let range = head * size..(head + 1) * size;
        Some((keys.get_mut(range.clone())?, values.get_mut(range)?))
    }
}

impl Shape {
    /// Returns the number of values of one head's keys.
    fn head_size(&self) -> usize {
        self.capacity * self.head_width
    }

    fn empty_beam(&self) -> Vec<f32> {
        vec![0.0; self.layers * 2 * self.heads * self.head_size()]
    }
}

/// Keys and values of an encoder's output for the cross-attention of every decoder layer. All beams
/// and steps share them.
#[derive(Default)]
pub struct EncoderMemory {
    /// Per layer and head.
    layers: Vec<Vec<PackedKeyValues>>,
    /// Positions of the layer that was added last; all layers of a model have the same number.
    length: usize,
    compute_type: ComputeType,
}

impl EncoderMemory {
    /// Adds the next layer: `[time, 2 * width]`, in each row the keys, then the values.
    ///
    /// # Errors
    /// [`Error::Input`] if the tensor has another shape or type, or if its width is not a multiple
    /// of `heads`.
    pub fn push(
        &mut self,
        keys_values: &Tensor,
        heads: usize,
        compute_type: ComputeType,
    ) -> Result<(), Error> {
        let &[time, stride] = keys_values.shape() else {
            let shape = keys_values.shape();
            return Err(Error::input(format!(
                "keys and values are {shape:?}, not [time, 2 width]"
            )));
        };
        if heads == 0 || time * stride == 0 || stride % (2 * heads) != 0 {
            return Err(Error::input(format!(
                "{time} rows of {stride} columns do not hold keys and values of {heads} heads"
            )));
        }
        let numbers = values::<f32>(keys_values)?;
        let width = stride / 2 / heads;
        let layer = (0..heads).map(|head| {
            let from = |first: usize| Rows { values: &numbers[first..], stride, count: time };
            let (keys, values) = (from(head * width), from(stride / 2 + head * width));
            PackedKeyValues::pack(keys, values, width, compute_type)
        });
        self.layers.push(layer.collect());
        (self.length, self.compute_type) = (time, compute_type);
        Ok(())
    }

    /// Computes the weights with which queries attend to the first `positions` positions of one head
    /// of a layer, row-major `[n, positions]`; each row adds up to 1. `queries`: those of all heads,
    /// `[1, n, width]`, as [`GraphBuilder::cross_attention`](crate::GraphBuilder::cross_attention) takes
    /// them.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no such layer, head or position, or if the tensor has another type
    /// or width.
    pub fn weights(
        &self,
        (layer, head): (usize, usize),
        queries: &Tensor,
        positions: usize,
    ) -> Result<Vec<f32>, Error> {
        let heads = self.layers.get(layer).map_or(&[][..], Vec::as_slice);
        let memory = heads.get(head).ok_or_else(|| {
            Error::input(format!("there is no head {head} in layer {layer} of the memory"))
        })?;
        let stride = queries.shape().last().copied().unwrap_or(0);
        if stride == 0 || stride != heads.len() * memory.width() {
            return Err(Error::input(format!("queries of {stride} numbers do not fit the memory")));
        }
        if !(1..=self.length).contains(&positions) {
            return Err(Error::input(format!("{positions} of {} positions", self.length)));
        }
        let numbers = values::<f32>(queries)?;
        let count = numbers.len() / stride;
        let mut weights = vec![0.0; count * positions];
        if count > 0 {
            let queries = Rows { values: &numbers[head * memory.width()..], stride, count };
            memory.weights(queries, positions, &mut weights);
        }
        Ok(weights)
    }

    pub(crate) fn compute_type(&self) -> ComputeType {
        self.compute_type
    }

    /// Returns the number of encoder positions.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn heads(&self, layer: usize) -> Option<&[PackedKeyValues]> {
        self.layers.get(layer).map(Vec::as_slice)
    }
}

/// State that the operators of a decoder use during one run.
#[derive(Default)]
pub(crate) struct DecoderState {
    pub(crate) cache: KeyValueCache,
    pub(crate) memory: Arc<EncoderMemory>,
}
