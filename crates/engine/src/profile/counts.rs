//! Numbers of multiply-accumulate operations.

/// Number of multiply-accumulate operations (MACs), by the type of the factors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MacCounts {
    pub int8: u64,
    pub bf16: u64,
    pub f32: u64,
}

impl MacCounts {
    pub fn total(self) -> u64 {
        self.int8 + self.bf16 + self.f32
    }
}

impl std::ops::AddAssign for MacCounts {
    fn add_assign(&mut self, other: Self) {
        self.int8 += other.int8;
        self.bf16 += other.bf16;
        self.f32 += other.f32;
    }
}
