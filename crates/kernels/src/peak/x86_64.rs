//! Loops for x86-64.

use std::{arch::x86_64::*, hint::black_box};

use super::{CHAINS, Loop, Loops, chains, plain};

pub(super) fn loops() -> Loops {
    let (avx2, fma) = (is_x86_feature_detected!("avx2"), is_x86_feature_detected!("fma"));
    let avx512 = is_x86_feature_detected!("avx512f");
    let int8 = if avx512 && is_x86_feature_detected!("avx512vnni") {
        Loop { instruction: "vpdpbusd 512", macs_per_round: 64 * CHAINS, run: vnni_512 }
    } else if is_x86_feature_detected!("avxvnni") {
        Loop { instruction: "vpdpbusd 256", macs_per_round: 32 * CHAINS_256, run: vnni_256 }
    } else if avx2 {
        Loop { instruction: "vpmaddubsw 256", macs_per_round: 32 * CHAINS_256, run: pairs_256 }
    } else {
        plain::INT8
    };
    let bf16 = avx512 && is_x86_feature_detected!("avx512bf16");
    let f32 = if avx512 {
        Loop { instruction: "vfmadd231ps 512", macs_per_round: 16 * CHAINS, run: fma_512 }
    } else if avx2 && fma {
        Loop { instruction: "vfmadd231ps 256", macs_per_round: 8 * CHAINS_256, run: fma_256 }
    } else {
        plain::F32
    };
    let dot = Loop { instruction: "vdpbf16ps 512", macs_per_round: 32 * CHAINS, run: bf16_512 };
    Loops { int8, bf16: bf16.then_some(dot), f32 }
}

/// Number of independent sums that fit sixteen registers.
const CHAINS_256: u64 = 12;

/// Runs [`super::chains`] with [`CHAINS_256`] sums.
macro_rules! chains_256 {
    ($rounds:expr, $start:expr, |$sum:ident| $step:expr) => {
        chains!(@ $rounds, $start, $sum, $step, s0 0, s1 1, s2 2, s3 3, s4 4, s5 5, s6 6,
            s7 7, s8 8, s9 9, s10 10, s11 11)
    };
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_512(rounds: u32) {
    let a = _mm512_set1_epi32(black_box(0x0102_0304));
    chains!(rounds, |start| _mm512_set1_epi32(start), |sum| _mm512_dpbusd_epi32(sum, a, a));
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16_512(rounds: u32) {
    let half = _mm512_set1_ps(black_box(0.5));
    let a = _mm512_cvtne2ps_pbh(half, half);
    chains!(rounds, |start: i32| _mm512_set1_ps(start as f32), |sum| _mm512_dpbf16_ps(sum, a, a));
}

#[target_feature(enable = "avx512f")]
fn fma_512(rounds: u32) {
    let a = _mm512_set1_ps(black_box(0.5));
    chains!(rounds, |start: i32| _mm512_set1_ps(start as f32), |sum| _mm512_fmadd_ps(a, a, sum));
}

#[target_feature(enable = "avx2,avxvnni")]
fn vnni_256(rounds: u32) {
    let a = _mm256_set1_epi32(black_box(0x0102_0304));
    chains_256!(rounds, |start| _mm256_set1_epi32(start), |sum| _mm256_dpbusd_avx_epi32(sum, a, a));
}

/// Multiplies bytes, adds pairs, then pairs of pairs. One factor is the sum, because the compiler
/// would move a constant product out of the loop.
#[target_feature(enable = "avx2")]
fn pairs_256(rounds: u32) {
    let a = _mm256_set1_epi32(black_box(0x0102_0304));
    let ones = _mm256_set1_epi16(black_box(1));
    chains_256!(rounds, |start| _mm256_set1_epi32(start), |sum| {
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, sum), ones))
    });
}

#[target_feature(enable = "avx2,fma")]
fn fma_256(rounds: u32) {
    let a = _mm256_set1_ps(black_box(0.5));
    chains_256!(rounds, |start: i32| _mm256_set1_ps(start as f32), |sum| _mm256_fmadd_ps(
        a, a, sum
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peak::Loop;

    /// Includes the loops that this CPU has better instructions for.
    #[test]
    fn every_loop_runs() {
        let mut loops: Vec<Loop> = vec![plain::INT8, plain::F32];
        let run = |run| Loop { instruction: "", macs_per_round: 1, run };
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            loops.extend([run(pairs_256), run(fma_256)]);
        }
        if is_x86_feature_detected!("avxvnni") {
            loops.push(run(vnni_256));
        }
        for each in loops {
            assert!(each.measure().macs_per_second > 1e3);
        }
    }
}
