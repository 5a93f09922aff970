use std::sync::Arc;

use super::*;
use crate::{GraphBuilder, Linear, Network, PostOp};

/// `[rows, 3]` to `[rows, 4]` in int8, to `[rows, 2]` in f32.
fn network() -> Network {
    let int8 = Arc::new(Linear::quantize(&[0.5; 12], 4, None).expect("a layer"));
    let float = Arc::new(Linear::float(&[0.5; 8], 2, None).expect("a layer"));
    let mut graph = GraphBuilder::default();
    let x = graph.input::<f32>("x", &["rows".into(), 3.into()]).expect("x");
    let hidden = graph.linear("hidden", x, &int8, PostOp::Relu).expect("a layer");
    let y = graph.linear("y", hidden, &float, PostOp::None).expect("a layer");
    graph.finish(&[y]).expect("a network")
}

fn run(network: &Network, rows: usize) {
    let x = crate::tensor(&[rows, 3], &vec![1f32; 3 * rows]).expect("x");
    network.run(vec![x]).expect("runs");
}

#[test]
fn operators_are_recorded_with_their_products() {
    let network = network();
    let (seven, recording) = record(|| {
        run(&network, 5);
        run(&network, 2);
        7
    });
    assert_eq!((seven, recording.runs.len()), (7, 2));
    for (run, rows) in recording.runs.iter().zip([5, 2]) {
        let linear: Vec<_> =
            run.operators.iter().filter(|time| time.operator == "Linear").collect();
        let products: Vec<_> = linear.iter().map(|time| time.products).collect();
        let int8 = Products { int8: rows * 12, ..Products::default() };
        let float = Products { f32: rows * 8, ..Products::default() };
        assert_eq!(products, [int8, float]);
        assert_eq!(linear[0].name, "hidden");
        assert!(linear.iter().all(|time| !time.generic));
        assert!(run.operators.iter().any(|time| time.operator == "Source" && time.generic));
        // In order, one after the other, within the run, which is within the recording.
        let mut last = run.start;
        for time in &run.operators {
            assert!(time.start >= last, "{time:?}");
            last = time.start + time.time;
        }
        assert!(last <= run.start + run.time && run.start + run.time <= recording.time);
    }
    assert!(recording.runs[1].start >= recording.runs[0].start + recording.runs[0].time);
}

#[test]
fn only_what_this_thread_does_during_the_call_is_recorded() {
    let network = network();
    run(&network, 1);
    let (_, outer) = record(|| {
        std::thread::scope(|scope| drop(scope.spawn(|| run(&network, 1)).join()));
        let ((), inner) = record(|| run(&network, 2));
        assert_eq!(inner.runs.len(), 1);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            record(|| panic!("on purpose"));
        }));
        assert!(panic.is_err());
        run(&network, 3);
    });
    assert_eq!(outer.runs.len(), 1);
    run(&network, 1);
    assert!(Running::begin(1).is_none());
}
