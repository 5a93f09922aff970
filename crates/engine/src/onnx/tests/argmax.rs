//! Networks that end in the argmax of their scores.

use super::{
    fused::{floats, linear, run, weights},
    npz::Npz,
    *,
};

/// For scores as input, from a float layer and from a quantized one, with more rows than a block
/// has.
#[test]
fn argmax_equals_that_of_all_scores() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let tensor = |shape: &[usize], step: usize| {
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| (i * step % 101) as f32 / 50.0 - 1.0).collect();
        crate::tensor(shape, &numbers).expect("numbers")
    };
    let x = floats(&npz, "qmatmul/a/x");
    let width = x.shape()[1];
    let quantized = linear(weights(&npz, "a"), false);
    let matmul = vec![node("MatMul", &["x", "w"], &["y"])];
    let float = file(matmul, vec![("w", tensor(&[width, 70], 7))]);
    let given = file(vec![node("Mul", &["x", "x"], &["y"])], vec![]);
    for (file, operator) in [(quantized, "DynamicQuantize"), (float, "Argmax"), (given, "Square")] {
        let inputs = [Input::new("x", ["rows".into(), width.into()])];
        let scores = file.network(&inputs, &["y"]).expect("network");
        let (network, classes) = file.argmax_network(&inputs, "y").expect("network");
        let operators = network.operators();
        assert_eq!(operators.first().map(String::as_str), Some(operator), "{operators:?}");
        assert_eq!(operators.last().map(String::as_str), Some("Argmax"), "{operators:?}");
        for rows in [0, 1, 24, 61] {
            let x = tensor(&[rows, width], 13);
            let scores = run(&scores, &x);
            let found = run(&network, &x);
            assert_eq!(found.len(), 2 * rows);
            for (scores, found) in scores.chunks(classes).zip(found.chunks(2)) {
                let (class, greatest) = kernels::scores::argmax(scores).expect("scores");
                assert_eq!(found[0], class as f32, "{operators:?}");
                let sum: f32 = scores.iter().map(|score| (score - greatest).exp()).sum();
                assert!((found[1] + sum.ln()).abs() < 1e-5, "{operators:?}");
            }
        }
        let odd = crate::tensor(&[1, width], &vec![f32::NAN; width]).expect("x");
        let found = run(&network, &odd);
        assert!(operator == "DynamicQuantize" || found[1].is_nan(), "{operators:?}: {found:?}");
    }
    let inputs = [Input::new("x", ["rows".into(), 3.into()])];
    let (network, _) = file(vec![node("Neg", &["x"], &["y"])], vec![])
        .argmax_network(&inputs, "y")
        .expect("network");
    for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let x = crate::tensor(&[2, 3], &[0.0, odd, 1.0, 0.0, 2.0, 1.0]).expect("x");
        let found = run(&network, &x);
        assert!(found[1].is_nan() && found[3].is_finite(), "{odd}: {found:?}");
    }
    let nodes = vec![node("Relu", &["x"], &["y"])];
    let open = file(nodes, vec![]).argmax_network(&[Input::new("x", ["n".into()])], "y");
    assert!(open.is_err(), "the number of classes must be fixed");
}
