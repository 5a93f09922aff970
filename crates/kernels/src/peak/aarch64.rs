//! Loops for aarch64.

use std::{
    arch::{aarch64::*, asm, is_aarch64_feature_detected},
    hint::black_box,
};

use super::{CHAINS, Loop, Loops, chains, plain};

pub(super) fn loops() -> Loops {
    let int8 = if is_aarch64_feature_detected!("i8mm") {
        Loop { instruction: "usmmla 128", macs_per_round: 32 * CHAINS, run: i8mm }
    } else if is_aarch64_feature_detected!("dotprod") {
        Loop { instruction: "udot 128", macs_per_round: 16 * CHAINS, run: dotprod }
    } else {
        plain::INT8
    };
    let bf16 = is_aarch64_feature_detected!("bf16").then_some(Loop {
        instruction: "bfmmla 128",
        macs_per_round: 16 * CHAINS,
        run: bf16,
    });
    let f32 = Loop { instruction: "fmla 128", macs_per_round: 4 * CHAINS, run: fmla };
    Loops { int8, bf16, f32 }
}

/// Defines a loop of an instruction that Rust has no stable intrinsic for, which adds to 128 bits
/// of sums.
macro_rules! by_assembly {
    ($name:ident, $features:literal, $instruction:literal) => {
        #[target_feature(enable = $features)]
        fn $name(rounds: u32) {
            let a = vdupq_n_u8(black_box(1));
            chains!(
                rounds,
                |start| vdupq_n_u32(start),
                |sum| {
                    let mut sum = sum;
                    // SAFETY: the instruction reads and writes these registers only, and the CPU
                    // has the features of this function.
                    unsafe {
                        asm!(
                            $instruction,
                            sum = inout(vreg) sum,
                            a = in(vreg) a,
                            options(pure, nomem, nostack, preserves_flags)
                        );
                    }
                    sum
                }
            );
        }
    };
}

by_assembly!(i8mm, "neon,i8mm", "usmmla {sum:v}.4s, {a:v}.16b, {a:v}.16b");
by_assembly!(dotprod, "neon,dotprod", "udot {sum:v}.4s, {a:v}.16b, {a:v}.16b");
by_assembly!(bf16, "neon,bf16", "bfmmla {sum:v}.4s, {a:v}.8h, {a:v}.8h");

#[target_feature(enable = "neon")]
fn fmla(rounds: u32) {
    let a = vdupq_n_f32(black_box(0.5));
    chains!(rounds, |start: u32| vdupq_n_f32(start as f32), |sum| vfmaq_f32(sum, a, a));
}
