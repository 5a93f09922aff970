//! Lengths of axes.

/// Length of one axis of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// A length that may differ from run to run. Axes of the same name have the same length in a
    /// run.
    Symbol(&'static str),
}

impl From<usize> for Dim {
    fn from(length: usize) -> Self {
        Self::Fixed(length)
    }
}

impl From<&'static str> for Dim {
    fn from(name: &'static str) -> Self {
        Self::Symbol(name)
    }
}
