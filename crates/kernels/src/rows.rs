//! Strided rows, the operands of most kernels.

/// `count` rows; each starts `stride` numbers after the previous one.
///
/// ```
/// // Two columns, from the second on, of a row-major matrix with three.
/// let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let rows = kernels::Rows { values: &matrix[1..], stride: 3, count: 2 };
/// # let _ = rows;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T = f32> {
    pub values: &'a [T],
    pub stride: usize,
    pub count: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Returns the first `width` numbers of a row.
    #[inline]
    pub(crate) fn row(&self, index: usize, width: usize) -> &'a [T] {
        &self.values[index * self.stride..][..width]
    }

    /// Returns whether every row has `width` numbers.
    pub(crate) fn holds(&self, width: usize) -> bool {
        self.values.len() >= end_of_rows(self.count, self.stride, width)
    }
}

/// Returns the index after the last of `rows` rows of `columns` numbers, where a row starts every
/// `stride` numbers.
pub(crate) fn end_of_rows(rows: usize, stride: usize, columns: usize) -> usize {
    match rows {
        0 => 0,
        // Saturates, because kernels skip bounds checks for slices of this length.
        _ => (rows - 1).saturating_mul(stride).saturating_add(columns),
    }
}
