//! Portable loops, for CPUs without a known instruction.

#![cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]

use std::hint::black_box;

use super::{CHAINS, Loop, Loops, chains};

pub(super) fn loops() -> Loops {
    Loops { int8: INT8, bf16: None, f32: F32 }
}

pub(super) const INT8: Loop =
    Loop { instruction: "compiled code", macs_per_round: CHAINS, run: int8 };
pub(super) const F32: Loop =
    Loop { instruction: "compiled code", macs_per_round: CHAINS, run: f32 };

fn int8(rounds: u32) {
    let a: i32 = black_box(3);
    chains!(rounds, |start: i32| start, |sum| sum.wrapping_mul(a).wrapping_add(7));
}

fn f32(rounds: u32) {
    let a: f32 = black_box(0.5);
    chains!(rounds, |start: i32| start as f32, |sum| sum * a + a);
}
