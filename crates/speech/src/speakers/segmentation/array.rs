//! Arrays with the few operators of ONNX that compute weights.

/// Most numbers of an array; the largest weights of the network have 262,144. A damaged file cannot
/// demand more memory than this.
const MAX_NUMBERS: usize = 1 << 20;

/// A row-major array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    /// Makes an array, `None` if the shape is another or the array too large.
    pub(super) fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        (volume(&shape)? == values.len()).then_some(Self { shape, values })
    }

    /// Computes the value at each index.
    fn generate(shape: Vec<usize>, mut value: impl FnMut(&[usize]) -> Option<f32>) -> Option<Self> {
        let mut index = vec![0; shape.len()];
        let count = volume(&shape)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(value(&index)?);
            for (index, &length) in index.iter_mut().zip(&shape).rev() {
                *index += 1;
                if *index < length {
                    break;
                }
                *index = 0;
            }
        }
        Some(Self { shape, values })
    }

    fn at(&self, index: impl Iterator<Item = usize>) -> Option<f32> {
        let mut position = 0;
        for (index, &length) in index.zip(&self.shape) {
            position = position * length + (index < length).then_some(index)?;
        }
        self.values.get(position).copied()
    }

    pub(super) fn map(mut self, of: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|value| *value = of(*value));
        self
    }

    /// Combines two arrays element by element; lengths of 1 are repeated.
    pub(super) fn combine(&self, other: &Self, of: impl Fn(f32, f32) -> f32) -> Option<Self> {
        let rank = self.shape.len().max(other.shape.len());
        let length = |array: &Self, axis: usize| {
            (axis + array.shape.len()).checked_sub(rank).map_or(1, |axis| array.shape[axis])
        };
        let shape = (0..rank).map(|axis| match (length(self, axis), length(other, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        });
        let value = |array: &Self, index: &[usize]| {
            let skipped = rank - array.shape.len();
            let lengths = array.shape.iter();
            array
                .at(index[skipped..].iter().zip(lengths).map(|(&i, &n)| if n == 1 { 0 } else { i }))
        };
        Self::generate(shape.collect::<Option<_>>()?, |index| {
            Some(of(value(self, index)?, value(other, index)?))
        })
    }

    /// Multiplies two matrices.
    pub(super) fn multiply(&self, other: &Self) -> Option<Self> {
        let (&[rows, inner], &[of_other, columns]) = (&self.shape[..], &other.shape[..]) else {
            return None;
        };
        // The network multiplies columns by rows; longer sums are none of its weights.
        if inner != of_other || inner > MAX_NUMBERS / volume(&[rows, columns])?.max(1) {
            return None;
        }
        Self::generate(vec![rows, columns], |index| {
            let products = (0..inner)
                .map(|i| self.values[index[0] * inner + i] * other.values[i * columns + index[1]]);
            Some(products.sum())
        })
    }

    /// Joins arrays along an axis.
    pub(super) fn concatenate(arrays: &[Self], axis: i64) -> Option<Self> {
        let first = arrays.first()?;
        let axis = first.axis(axis)?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for array in arrays {
            let fits = array.shape.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || array.shape[i] == shape[i]);
            shape[axis] = shape[axis].checked_add(fits.then(|| array.shape[axis])?)?;
        }
        Self::generate(shape, |index| {
            let (mut array, mut at) = (arrays.iter(), index[axis]);
            let found = loop {
                let array = array.next()?;
                match at.checked_sub(array.shape[axis]) {
                    Some(rest) => at = rest,
                    None => break array,
                }
            };
            found.at(index.iter().enumerate().map(|(i, &index)| if i == axis { at } else { index }))
        })
    }

    /// Takes every `step`-th of the entries along an axis, from `start` to before `end`. Negative
    /// positions count from the end; those beyond an end stand for it.
    pub(super) fn slice(&self, axis: i64, start: i64, end: i64, step: i64) -> Option<Self> {
        let axis = self.axis(axis)?;
        let length = i64::try_from(self.shape[axis]).ok()?;
        let position = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        let (start, span) = if step > 0 {
            let start = position(start).clamp(0, length);
            (start, position(end).clamp(0, length) - start)
        } else {
            let start = position(start).clamp(-1, length - 1);
            (start, start - position(end).clamp(-1, length - 1))
        };
        let count = span.max(0).checked_add(step.checked_abs()? - 1)?.checked_div(step.abs())?;
        let mut shape = self.shape.clone();
        shape[axis] = usize::try_from(count).ok()?;
        Self::generate(shape, |index| {
            let at = usize::try_from(start + index[axis] as i64 * step).ok()?;
            self.at(index.iter().enumerate().map(|(i, &index)| if i == axis { at } else { index }))
        })
    }

    /// Reorders the axes.
    pub(super) fn transpose(&self, order: &[i64]) -> Option<Self> {
        let axes: Vec<usize> = order.iter().map(|&axis| self.axis(axis)).collect::<Option<_>>()?;
        let is_order = (0..self.shape.len()).all(|axis| axes.contains(&axis));
        let shape = (axes.len() == self.shape.len() && is_order)
            .then(|| axes.iter().map(|&axis| self.shape[axis]).collect())?;
        let mut from = vec![0; axes.len()];
        Self::generate(shape, |index| {
            axes.iter().zip(index).for_each(|(&axis, &index)| from[axis] = index);
            self.at(from.iter().copied())
        })
    }

    /// Changes the shape: 0 keeps a length, one length of -1 takes what is left.
    pub(super) fn reshape(self, shape: &[i64]) -> Option<Self> {
        let known = shape.iter().enumerate().filter(|&(_, &length)| length != -1);
        let known = known.map(|(axis, &length)| match length {
            0 => self.shape.get(axis).copied(),
            length => usize::try_from(length).ok(),
        });
        let known: Vec<usize> = known.collect::<Option<_>>()?;
        let rest = self.values.len().checked_div(volume(&known)?)?;
        let mut known = known.into_iter();
        let shape =
            shape.iter().map(|&length| if length == -1 { Some(rest) } else { known.next() });
        Self::new(shape.collect::<Option<_>>()?, self.values)
    }

    /// Adds axes of length 1, or removes them if `remove`.
    pub(super) fn with_axes(mut self, axes: &[i64], remove: bool) -> Option<Self> {
        let rank = if remove { self.shape.len() } else { self.shape.len() + axes.len() };
        let rank = i64::try_from(rank).ok()?;
        let positive =
            |&axis: &i64| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        let mut axes: Vec<usize> = axes.iter().map(positive).collect::<Option<_>>()?;
        axes.sort_unstable();
        if remove {
            for &axis in axes.iter().rev() {
                (self.shape.get(axis) == Some(&1)).then(|| self.shape.remove(axis))?;
            }
        } else {
            for &axis in &axes {
                (axis <= self.shape.len()).then(|| self.shape.insert(axis, 1))?;
            }
        }
        Some(self)
    }

    fn axis(&self, axis: i64) -> Option<usize> {
        let rank = i64::try_from(self.shape.len()).ok()?;
        let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
        usize::try_from(axis).ok().filter(|&axis| axis < self.shape.len())
    }
}

/// Returns the number of values, `None` if there are too many.
fn volume(shape: &[usize]) -> Option<usize> {
    let volume = shape.iter().try_fold(1usize, |volume, &length| volume.checked_mul(length));
    volume.filter(|&volume| volume <= MAX_NUMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: &[f32]) -> Array {
        Array::new(shape.to_vec(), values.to_vec()).expect("fits")
    }

    #[test]
    fn operators_follow_onnx() {
        let matrix = array(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let column = array(&[2, 1], &[10.0, 20.0]);
        let sum = matrix.combine(&column, |a, b| a + b).expect("fits");
        assert_eq!(sum, array(&[2, 3], &[11.0, 12.0, 13.0, 24.0, 25.0, 26.0]));
        let scalar = array(&[], &[2.0]);
        assert_eq!(scalar.combine(&column, |a, b| b / a), Some(array(&[2, 1], &[5.0, 10.0])));
        assert_eq!(matrix.combine(&array(&[2], &[1.0, 1.0]), |a, _| a), None);
        let product = column.multiply(&array(&[1, 2], &[1.0, 3.0])).expect("fits");
        assert_eq!(product, array(&[2, 2], &[10.0, 30.0, 20.0, 60.0]));
        assert_eq!(matrix.multiply(&column), None);
        let joined = Array::concatenate(&[matrix.clone(), column.clone()], -1).expect("fits");
        assert_eq!(joined, array(&[2, 4], &[1.0, 2.0, 3.0, 10.0, 4.0, 5.0, 6.0, 20.0]));
        assert_eq!(Array::concatenate(&[matrix.clone(), column], 0), None);
        let turned = matrix.slice(1, -1, i64::MIN + 1, -1).expect("fits");
        assert_eq!(turned, array(&[2, 3], &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]));
        assert_eq!(matrix.slice(1, 0, i64::MAX, 2).expect("fits").values, [1.0, 3.0, 4.0, 6.0]);
        assert_eq!(matrix.slice(0, 5, 9, 1).expect("fits"), array(&[0, 3], &[]));
        assert_eq!(matrix.slice(0, 0, 1, 0), None);
        let transposed = matrix.transpose(&[1, 0]).expect("fits");
        assert_eq!(transposed, array(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(matrix.transpose(&[0, 0]), None);
        assert_eq!(matrix.clone().reshape(&[-1, 1, 2]).expect("fits").shape, [3, 1, 2]);
        assert_eq!(matrix.clone().reshape(&[0, 4]), None);
        let added = matrix.with_axes(&[-1, 0], false).expect("fits");
        assert_eq!(added.shape, [1, 2, 3, 1]);
        assert_eq!(added.with_axes(&[0, 3], true).expect("fits").shape, [2, 3]);
    }

    #[test]
    fn arrays_have_a_limit() {
        let long = array(&[2000], &[1.0; 2000]);
        let column = long.clone().reshape(&[2000, 1]).expect("fits");
        assert_eq!(long.combine(&column, |a, _| a), None);
        assert_eq!(column.multiply(&long.reshape(&[1, 2000]).expect("fits")), None);
    }
}
