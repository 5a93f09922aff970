use std::sync::OnceLock;

/// Instruction sets that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Rust without intrinsics, on every machine: the reference.
    Plain,
    /// AVX2 and FMA (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, VL and VNNI (Ice Lake, Zen 4 and later).
    Avx512,
}

impl Isa {
    /// The best this machine has.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(Self::Plain))
    }

    /// All that this machine has, from plain to best.
    pub fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                return &[Self::Plain, Self::Avx2, Self::Avx512];
            }
            if avx2 {
                return &[Self::Plain, Self::Avx2];
            }
        }
        &[Self::Plain]
    }
}
