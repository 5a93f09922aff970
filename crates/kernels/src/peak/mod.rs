//! Peak rate of one core in multiply-accumulate operations (MACs) per second, measured with loops
//! that use registers only. It is an upper bound for GEMM; the fraction that a kernel reaches says
//! how good the kernel is.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::time::{Duration, Instant};

/// Total time for which each loop runs.
const MEASURED: Duration = Duration::from_millis(30);
/// Minimum time between two readings of the clock.
const MIN_RUN: Duration = Duration::from_micros(500);

/// Peak rates of one core of this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    pub int8: Rate,
    /// The rate of f32 if no instruction multiplies bfloat16.
    pub bf16: Rate,
    pub f32: Rate,
}

/// Rate of the fastest instruction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The instruction, with the width of its registers in bits.
    pub instruction: &'static str,
    pub macs_per_second: f64,
}

/// Measures the peak rates on the calling thread, which takes a tenth of a second.
pub fn measure() -> Peak {
    let loops = Loops::of_this_cpu();
    let (int8, f32) = (loops.int8.measure(), loops.f32.measure());
    Peak { int8, bf16: loops.bf16.map_or(f32, |bf16| bf16.measure()), f32 }
}

/// Loops of the fastest instructions of a CPU.
struct Loops {
    int8: Loop,
    bf16: Option<Loop>,
    f32: Loop,
}

impl Loops {
    fn of_this_cpu() -> Self {
        #[cfg(target_arch = "x86_64")]
        return x86_64::loops();
        #[cfg(target_arch = "aarch64")]
        return aarch64::loops();
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        plain::loops()
    }
}

/// A loop of one instruction with independent sums, so that throughput limits it and not latency.
#[derive(Clone, Copy)]
struct Loop {
    instruction: &'static str,
    macs_per_round: u64,
    /// Runs the given number of rounds.
    ///
    /// # Safety
    /// The CPU has the instruction. Whoever creates a `Loop` has checked this.
    run: unsafe fn(u32),
}

impl Loop {
    fn measure(self) -> Rate {
        let time = |rounds: u32| {
            let start = Instant::now();
            // SAFETY: the CPU has the instruction, see `run`.
            unsafe { (self.run)(rounds) };
            start.elapsed()
        };
        let mut rounds: u32 = 1000;
        while time(rounds) < MIN_RUN && rounds < u32::MAX / 2 {
            rounds *= 2;
        }
        // The best of many runs: other processes can only slow it down.
        let (start, mut best) = (Instant::now(), Duration::MAX);
        while start.elapsed() < MEASURED {
            best = best.min(time(rounds));
        }
        let macs = self.macs_per_round as f64 * f64::from(rounds);
        Rate { instruction: self.instruction, macs_per_second: macs / best.as_secs_f64().max(1e-9) }
    }
}

/// Number of independent sums, enough for a latency of four cycles on four units.
const CHAINS: u64 = 16;

/// Runs `$step` on [`CHAINS`] sums, `$rounds` times. The sums start with different values, so that
/// the compiler does not merge them, and are variables, so that they stay in registers.
macro_rules! chains {
    ($rounds:expr, $start:expr, |$sum:ident| $step:expr) => {
        chains!(@ $rounds, $start, $sum, $step, s0 0, s1 1, s2 2, s3 3, s4 4, s5 5, s6 6, s7 7, s8 8,
            s9 9, s10 10, s11 11, s12 12, s13 13, s14 14, s15 15)
    };
    (@ $rounds:expr, $start:expr, $sum:ident, $step:expr, $($chain:ident $index:literal),*) => {{
        $(let mut $chain = $start(std::hint::black_box($index as _));)*
        for _ in 0..$rounds {
            $($chain = {
                let $sum = $chain;
                $step
            };)*
        }
        $(std::hint::black_box($chain);)*
    }};
}
use chains;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_rates_are_plausible() {
        let peak = measure();
        for rate in [peak.int8, peak.bf16, peak.f32] {
            // From an emulated core to one of the far future.
            assert!((1e6..1e14).contains(&rate.macs_per_second), "{rate:?}");
        }
        // Under emulation, the relations between instructions differ.
        if cfg!(target_arch = "x86_64") {
            let [int8, bf16, f32] =
                [peak.int8, peak.bf16, peak.f32].map(|rate| rate.macs_per_second);
            assert!(bf16 > 0.7 * f32 && int8 > 0.7 * f32, "smaller, but slower: {peak:?}");
        }
    }
}
