//! Strided rows of f32, the operands of several kernels.

/// `count` rows; each starts `stride` numbers after the previous one.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub count: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn row(&self, index: usize, width: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..width]
    }

    /// Whether every row has `width` numbers.
    pub(crate) fn holds(&self, width: usize) -> bool {
        self.values.len() >= end_of_rows(self.count, self.stride, width)
    }
}

/// Returns the index after the last of `rows` rows of `columns` numbers that start every `stride`
/// numbers.
pub(crate) fn end_of_rows(rows: usize, stride: usize, columns: usize) -> usize {
    match rows {
        0 => 0,
        // Saturates, because kernels omit bounds checks for slices of this length.
        _ => (rows - 1).saturating_mul(stride).saturating_add(columns),
    }
}
