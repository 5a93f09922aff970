//! What one core can do at most: products of two numbers that are added up, per second, measured
//! with loops that touch nothing but registers. No product of matrices can be faster, and the share
//! of this that it reaches tells how good it is.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::time::{Duration, Instant};

/// How long each loop runs in all.
const MEASURED: Duration = Duration::from_millis(30);
/// How long it runs at least between two looks at the clock.
const ONCE: Duration = Duration::from_micros(500);

/// The peaks of one core of this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    pub int8: Rate,
    /// That of f32 where no instruction multiplies bfloat16.
    pub bf16: Rate,
    pub f32: Rate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The instruction that is fastest, with the width of its registers in bits.
    pub instruction: &'static str,
    pub macs_per_second: f64,
}

/// Measures, on the calling thread, for a tenth of a second.
pub fn measure() -> Peak {
    let loops = Loops::of_this_machine();
    let (int8, f32) = (loops.int8.measure(), loops.f32.measure());
    Peak { int8, bf16: loops.bf16.map_or(f32, |bf16| bf16.measure()), f32 }
}

/// The fastest loops of a machine.
struct Loops {
    int8: Loop,
    bf16: Option<Loop>,
    f32: Loop,
}

impl Loops {
    fn of_this_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        return x86_64::loops();
        #[cfg(target_arch = "aarch64")]
        return aarch64::loops();
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        plain::loops()
    }
}

/// Sums that do not wait for each other, so that latency does not count.
#[derive(Clone, Copy)]
struct Loop {
    instruction: &'static str,
    products_per_round: u64,
    /// Does this many rounds.
    ///
    /// # Safety
    /// The machine has the instruction: what makes a `Loop` has looked.
    run: unsafe fn(u32),
}

impl Loop {
    fn measure(self) -> Rate {
        let time = |rounds: u32| {
            let start = Instant::now();
            // SAFETY: see `run`.
            unsafe { (self.run)(rounds) };
            start.elapsed()
        };
        let mut rounds: u32 = 1000;
        while time(rounds) < ONCE && rounds < u32::MAX / 2 {
            rounds *= 2;
        }
        // The best of many: others on the machine only ever slow it down.
        let (start, mut best) = (Instant::now(), Duration::MAX);
        while start.elapsed() < MEASURED {
            best = best.min(time(rounds));
        }
        let products = self.products_per_round as f64 * f64::from(rounds);
        Rate {
            instruction: self.instruction,
            macs_per_second: products / best.as_secs_f64().max(1e-9),
        }
    }
}

/// Independent sums: enough for a latency of four cycles on four units.
const CHAINS: u64 = 16;

/// Does `$step` with [`CHAINS`] sums, `$rounds` times. The sums start apart, so that the compiler
/// does not make one of them, and are variables, which stay in registers.
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
    fn peaks_are_what_a_core_can_do() {
        let peak = measure();
        for rate in [peak.int8, peak.bf16, peak.f32] {
            // From an emulated core to one of many years to come.
            assert!((1e6..1e14).contains(&rate.macs_per_second), "{rate:?}");
        }
        // Emulators have their own ideas.
        if cfg!(target_arch = "x86_64") {
            let [int8, bf16, f32] =
                [peak.int8, peak.bf16, peak.f32].map(|rate| rate.macs_per_second);
            assert!(bf16 > 0.7 * f32 && int8 > 0.7 * f32, "smaller, but slower: {peak:?}");
        }
    }
}
