//! Tests of `scriptorium bench`, with a model from the repository.

use serde_json::Value;

use crate::support::{Ran, Scriptorium, fixture, models, read_json, without_models};

fn bench(arguments: &[&str]) -> Ran {
    let (_directory, scriptorium) = without_models();
    let model = fixture("words/model");
    let fixed = ["bench", "--model", model.to_str().unwrap()];
    scriptorium.run(fixed.iter().chain(arguments))
}

#[test]
fn the_figures_are_consistent() {
    let arguments =
        ["--durations", "2,1", "--threads", "1,2", "--runs", "3", "--json", "--profile"];
    let report = bench(&arguments).expect_code(0).json();
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(report["model"]["precision"], "int8");
    assert_eq!(report["sound"], "generated");
    assert!(number(&report["load"]["cpu_seconds"]) > 0.0);
    let peaks = &report["machine"]["peak"];
    assert!(number(&peaks["int8"]["products_per_second"]) > 1e8);

    let rows = report["segments"].as_array().unwrap();
    let of: Vec<_> =
        rows.iter().map(|row| (number(&row["threads"]), number(&row["seconds"]))).collect();
    assert_eq!(of, [(1.0, 2.0), (1.0, 1.0), (2.0, 2.0), (2.0, 1.0)]);
    for row in rows {
        let (threads, seconds) = (number(&row["threads"]), number(&row["seconds"]));
        assert_eq!(number(&row["segments"]), 3.0 * threads);
        let wall = number(&row["wall_ms"]);
        assert!(wall > 0.0 && number(&row["wall_p95_ms"]) >= wall, "{row:#}");
        // The slowest segments cannot have taken longer than all of them together.
        let all = 1e3 * number(&row["real_time_factor"]) * 3.0 * threads * seconds;
        assert!(number(&row["wall_p95_ms"]) <= all * 1.001, "{row:#}");
        assert_eq!(row["speed_up"].is_null(), threads == 1.0);
    }

    let profile = &report["profile"];
    assert_eq!((number(&profile["seconds"]), number(&profile["threads"])), (2.0, 1.0));
    let operators = profile["operators"].as_array().unwrap();
    let share: f64 = operators.iter().map(|row| number(&row["share"])).sum();
    assert!((share - 1.0).abs() < 1e-6, "{share}");
    let find = |name: &str| operators.iter().find(|row| row["operator"] == name).unwrap();
    let quantized = find("QuantizedLinear");
    assert!(number(&quantized["int8_products"]) > 1e6 && quantized["generic"] == false);
    assert!(number(&profile["floor_ms"]) < number(&profile["wall_ms"]));
}

#[test]
fn prints_tables_and_writes_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace.json");
    let audio = fixture("words/audio/long.flac");
    let ran = bench(&[
        "--audio",
        audio.to_str().unwrap(),
        "--durations",
        "1",
        "--threads",
        "2",
        "--runs",
        "8",
        "--profile",
        "--profile-out",
        trace.to_str().unwrap(),
    ]);
    let ran = ran.expect_code(0);
    for words in ["peak of one core", "audio s per", "long.flac", "QuantizedLinear", "of peak"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let events = read_json(&trace)["traceEvents"].as_array().unwrap().clone();
    let tracks = events.iter().filter(|event| event["name"] == "thread_name").count();
    assert_eq!(tracks, 2);
    assert!(events.iter().filter(|event| event["name"] == "network").count() >= 2);
}

#[test]
fn measures_the_whole_pipeline() {
    let Some(models) = models() else { return };
    let audio = fixture("words/audio/long.flac");
    let model = fixture("words/model");
    let ran = Scriptorium::new(&models).run([
        "bench",
        "--model",
        model.to_str().unwrap(),
        "--audio",
        audio.to_str().unwrap(),
        "--durations",
        "1",
        "--threads",
        "1",
        "--runs",
        "1",
        "--pipeline",
        "--json",
    ]);
    let report = ran.expect_code(0).json();
    let [whole] = report["pipeline"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert!(whole["words"].as_u64().unwrap() > 10 && whole["cpu_ms"].as_f64().unwrap() > 0.0);
    assert!((whole["seconds"].as_f64().unwrap() - 43.0).abs() < 3.0, "{whole:#}");
}

#[test]
fn errors_name_what_cannot_be_measured() {
    for (arguments, code, words) in [
        (&["--durations", "61"][..], 2, &["--durations", "61", "60"][..]),
        (&["--durations", "0"], 2, &["--durations", "0"]),
        (&["--threads", "0"], 2, &["--threads"]),
        (&["--audio", "/nowhere.wav"], 1, &["--audio", "/nowhere.wav"]),
        (&["--precision", "int9"], 2, &["int9"]),
        (
            &["--durations", "1", "--threads", "1", "--runs", "1", "--profile-out", "/no/where"],
            1,
            &["/no/where"],
        ),
    ] {
        let ran = bench(arguments).expect_code(code);
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }
    let (_directory, scriptorium) = without_models();
    let ran = scriptorium.with("SCRIPTORIUM_KERNELS", "abacus").run(["bench"]).expect_code(2);
    for word in ["SCRIPTORIUM_KERNELS", "`abacus`"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}
