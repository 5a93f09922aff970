//! What an autoregressive decoder keeps from step to step.

use std::sync::Arc;

use kernels::{
    Rows,
    attention::{ComputeType, PackedKeyValues},
};

use crate::{Error, Tensor, values};

/// Keys and values of what was decoded so far, for `beams` hypotheses of one length.
///
/// Every hypothesis has room for `capacity` positions from the start, so that a step appends in
/// place; the system commits the memory when it is first written to.
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
    /// An empty cache of one beam. `width`: of all heads together.
    pub fn new(layers: usize, heads: usize, width: usize, capacity: usize) -> Self {
        let shape = Shape { layers, heads, head_width: width / heads.max(1), capacity };
        Self { shape, length: 0, beams: vec![shape.empty_beam()] }
    }

    /// Positions decoded.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn beams(&self) -> usize {
        self.beams.len()
    }

    /// Makes beam `i` a copy of what was beam `parents[i]`.
    pub fn reorder(&mut self, parents: &[usize]) -> Result<(), Error> {
        let count = self.beams.len();
        if let Some(parent) = parents.iter().find(|&&parent| parent >= count) {
            return Err(Error::Input(format!("beam {parent} of {count}")));
        }
        if parents.is_empty() {
            return Err(Error::Input("no beam is left".into()));
        }
        let mut old: Vec<Option<Vec<f32>>> =
            std::mem::take(&mut self.beams).into_iter().map(Some).collect();
        // The last child of a parent takes its memory over, earlier ones copy what is filled.
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
        let (head, filled) = (self.shape.head(), self.length * self.shape.head_width);
        if head > 0 {
            for (copy, beam) in copy.chunks_exact_mut(head).zip(beam.chunks_exact(head)) {
                copy[..filled].copy_from_slice(&beam[..filled]);
            }
        }
        copy
    }

    pub(crate) fn make_room(&self, beams: usize, added: usize) -> Result<(), Error> {
        if beams != self.beams.len() || added == 0 {
            let count = self.beams.len();
            return Err(Error::Input(format!("{added} tokens of {beams} beams for {count}")));
        }
        if added > self.shape.capacity - self.length {
            return Err(Error::Input(format!(
                "{added} tokens after {} are more than {} positions",
                self.length, self.shape.capacity
            )));
        }
        Ok(())
    }

    pub(crate) fn advance(&mut self, added: usize) {
        self.length += added;
    }

    /// The keys and the values of one head, with room for all positions.
    pub(crate) fn head(
        &mut self,
        beam: usize,
        layer: usize,
        head: usize,
    ) -> Option<(&mut [f32], &mut [f32])> {
        let size = self.shape.head();
        let half = self.shape.heads * size;
        let layer = self.beams.get_mut(beam)?.get_mut(layer * 2 * half..(layer + 1) * 2 * half)?;
        let (keys, values) = layer.split_at_mut(half);
        let range = head * size..(head + 1) * size;
        Some((keys.get_mut(range.clone())?, values.get_mut(range)?))
    }
}

impl Shape {
    fn head(&self) -> usize {
        self.capacity * self.head_width
    }

    fn empty_beam(&self) -> Vec<f32> {
        vec![0.0; self.layers * 2 * self.heads * self.head()]
    }
}

/// Keys and values of an encoder's output for every decoder layer, shared by beams and steps.
#[derive(Default)]
pub struct Memories {
    /// Per layer and head.
    layers: Vec<Vec<PackedKeyValues>>,
    /// Positions of the last layer that was added; all have the same in a model.
    length: usize,
    products: ComputeType,
}

impl Memories {
    /// Adds the next layer: `[time, 2 * width]`, keys and values side by side.
    pub fn push(
        &mut self,
        keys_values: &Tensor,
        heads: usize,
        products: ComputeType,
    ) -> Result<(), Error> {
        let &[time, stride] = keys_values.shape() else {
            return Err(Error::Input("keys and values are [time, 2 * width]".into()));
        };
        if heads == 0 || time * stride == 0 || stride % (2 * heads) != 0 {
            return Err(Error::Input(format!("{time} rows of {stride} for {heads} heads")));
        }
        let numbers = values::<f32>(keys_values)?;
        let width = stride / 2 / heads;
        let layer = (0..heads).map(|head| {
            let from = |first: usize| Rows { values: &numbers[first..], stride, count: time };
            PackedKeyValues::pack(
                from(head * width),
                from(stride / 2 + head * width),
                width,
                products,
            )
        });
        self.layers.push(layer.collect());
        (self.length, self.products) = (time, products);
        Ok(())
    }

    /// What keys and values were packed for.
    pub(crate) fn products(&self) -> ComputeType {
        self.products
    }

    /// Positions that can be attended to.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn heads(&self, layer: usize) -> Option<&[PackedKeyValues]> {
        self.layers.get(layer).map(Vec::as_slice)
    }
}

#[derive(Default)]
/// Lent to the operators of a decoder for one run.
pub(crate) struct Decoding {
    pub(crate) cache: KeyValueCache,
    pub(crate) memories: Arc<Memories>,
}
