//! Macros that the kernels for x86-64 share.

/// Calls a kernel for the remaining rows, six at most. The number of rows is a constant of the
/// kernel, so that its sums stay in registers.
macro_rules! up_to_six {
    ($remaining:expr, $kernel:ident $(::<$constant:tt>)? ($($argument:expr),*)) => {
        match $remaining {
            1 => $kernel::<$($constant,)? 1>($($argument),*),
            2 => $kernel::<$($constant,)? 2>($($argument),*),
            3 => $kernel::<$($constant,)? 3>($($argument),*),
            4 => $kernel::<$($constant,)? 4>($($argument),*),
            5 => $kernel::<$($constant,)? 5>($($argument),*),
            _ => $kernel::<$($constant,)? 6>($($argument),*),
        }
    };
}
pub(super) use up_to_six;

/// As [`up_to_six`], for twelve rows at most.
macro_rules! up_to_twelve {
    ($remaining:expr, $kernel:ident::<$constant:tt>($($argument:expr),*)) => {
        match $remaining {
            7 => $kernel::<$constant, 7>($($argument),*),
            8 => $kernel::<$constant, 8>($($argument),*),
            9 => $kernel::<$constant, 9>($($argument),*),
            10 => $kernel::<$constant, 10>($($argument),*),
            11 => $kernel::<$constant, 11>($($argument),*),
            12.. => $kernel::<$constant, 12>($($argument),*),
            fewer => up_to_six!(fewer, $kernel::<$constant>($($argument),*)),
        }
    };
}
pub(super) use up_to_twelve;

/// Compiles the portable loops of [`crate::loops`] for an instruction set.
macro_rules! compile_loops {
    ($features:literal) => {
        compile_loops! { @ $features:
            fn relu(values: &mut [f32]);
            fn relu_with_max(values: &mut [f32]) -> f32;
            fn gelu(values: &mut [f32]);
            fn silu(values: &mut [f32]);
            fn silu_with_bias(values: &mut [f32], bias: &[f32]);
            fn gated_linear_unit(x: &[f32], out: &mut [f32]);
            fn weigh_taps(
                x: &[f32], starts: &[usize], weights: &[f32], bias: &[f32], out: &mut [f32]
            );
            fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]);
            fn exponentials(row: &mut [f32], scale: f32) -> f32;
            fn dot_rows(x: &[f32], rows: &[f32], dots: &mut [f32]);
            fn mix_rows(weights: &[f32], rows: &[f32], out: &mut [f32]);
            fn column_statistics(rows: &[f32], mean: &mut [f32], scale: &mut [f32]);
            fn column_moments(rows: &[f32], mean: &mut [f32], variance: &mut [f32]);
            fn scale_columns(
                rows: &mut [f32], mean: &[f32], scale: &[f32], offset: &[f32], slope: f32
            );
            fn max_pool(x: &[f32], channels: usize, window: usize, out: &mut [f32]);
            fn max_pool_magnitudes(
                x: &[f32], scale: f32, offsets: &[f32], window: usize, out: &mut [f32],
                out_stride: usize
            );
            fn fold_rows(
                samples: &[f32], stride: usize, sums: &mut [f32], differences: &mut [f32],
                half: usize
            );
            fn moments(x: &[f32], origin: f32) -> (f32, f32);
            fn leaky_relu(values: &mut [f32]);
            fn add_medians(
                row: &[f32], mean: &[f32], scale: &[f32], padded: &mut [f32], sum: &mut [f32]
            );
            fn maximum(x: &[f32]) -> f32;
            fn sum_exp(x: &[f32], max: f32, scale: f32) -> f32;
            fn weigh_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]);
            fn convolve_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]);
            fn add(x: &[f32], out: &mut [f32]);
            fn round_to_bf16(x: &[f32], out: &mut [u16]);
            fn normalize(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]);
            fn normalize_to_bf16(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [u16]);
            fn min_max(x: &[f32]) -> (f32, f32);
            fn quantize_symmetric(x: &[f32], quantized: &mut [u8]) -> f32;
            fn quantize_affine(x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]);
            fn sum_bytes(x: &[u8]) -> i32;
            fn lstm_cell(gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]);
        }
    };
    (@ $features:literal:
     $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
        $(
            #[target_feature(enable = $features)]
            pub(crate) fn $name($($argument: $kind),*) $(-> $result)? {
                crate::loops::$name($($argument),*)
            }
        )*
    };
}
pub(super) use compile_loops;
