//! Tests of profiles.

use std::sync::Arc;

use super::*;
use crate::{GraphBuilder, Linear, Network, PostOp};

/// `[rows, 3]` to `[rows, 4]` in int8, then to `[rows, 2]` in f32.
fn network() -> Network {
    let int8 = Arc::new(Linear::quantize(&[0.5; 12], 4, None).expect("a layer"));
    let float = Arc::new(Linear::float(&[0.5; 8], 2, None).expect("a layer"));
    let mut graph = GraphBuilder::default();
    let x = graph.input::<f32>("x", &["rows".into(), 3.into()]).expect("x");
    let hidden = graph.linear("hidden", x, &int8, PostOp::Relu).expect("a layer");
    let y = graph.linear("y", hidden, &float, PostOp::None).expect("a layer");
    graph.build(&[y]).expect("a network")
}

fn run(network: &Network, rows: usize) {
    let x = crate::tensor(&[rows, 3], &vec![1f32; 3 * rows]).expect("x");
    network.run(vec![x]).expect("runs");
}

#[test]
fn operators_are_recorded_with_their_macs() {
    let network = network();
    let (seven, profile) = profile(|| {
        run(&network, 5);
        run(&network, 2);
        7
    });
    assert_eq!((seven, profile.runs.len()), (7, 2));
    for (run, rows) in profile.runs.iter().zip([5, 2]) {
        let linear: Vec<_> =
            run.operators.iter().filter(|time| time.operator == "Linear").collect();
        let macs: Vec<_> = linear.iter().map(|time| time.macs).collect();
        let int8 = MacCounts { int8: rows * 12, ..MacCounts::default() };
        let float = MacCounts { f32: rows * 8, ..MacCounts::default() };
        assert_eq!(macs, [int8, float]);
        assert_eq!(linear[0].name, "hidden");
        assert!(linear.iter().all(|time| !time.generic));
        assert!(run.operators.iter().any(|time| time.operator == "Source" && time.generic));
        // In order, without overlap, within the run, which is within the profile.
        let mut last = run.start;
        for time in &run.operators {
            assert!(time.start >= last, "{time:?}");
            last = time.start + time.time;
        }
        assert!(last <= run.start + run.time && run.start + run.time <= profile.time);
    }
    assert!(profile.runs[1].start >= profile.runs[0].start + profile.runs[0].time);
}

#[test]
fn only_runs_on_this_thread_during_the_call_are_recorded() {
    let network = network();
    run(&network, 1);
    let (_, outer) = profile(|| {
        std::thread::scope(|scope| drop(scope.spawn(|| run(&network, 1)).join()));
        let ((), inner) = profile(|| run(&network, 2));
        assert_eq!(inner.runs.len(), 1);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            profile(|| panic!("on purpose"));
        }));
        assert!(panic.is_err());
        run(&network, 3);
    });
    assert_eq!(outer.runs.len(), 1);
    run(&network, 1);
    assert!(RunProfiler::begin(1).is_none());
}
