//! Calls the target of each fuzzer with the inputs that are kept: a corpus, which reaches much of the code,
//! and the inputs that have failed before. Bounds time and memory as the fuzzers do.

#![allow(clippy::print_stdout, reason = "tests may")]

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Name of a fuzzer, and what it calls.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 21] = [
    ("audio_matroska", fuzz_targets::audio),
    ("audio_mp4", fuzz_targets::audio),
    ("audio_mpeg", fuzz_targets::audio),
    ("audio_ogg", fuzz_targets::audio),
    ("audio_riff", fuzz_targets::audio),
    ("checkpoint", fuzz_targets::checkpoint),
    ("grammar", fuzz_targets::grammar),
    ("headers", fuzz_targets::headers),
    ("job", fuzz_targets::job),
    ("location", fuzz_targets::location),
    ("manifest_csv", fuzz_targets::manifest_csv),
    ("manifest_json", fuzz_targets::manifest_json),
    ("model_directory", fuzz_targets::model_directory),
    ("model_files", fuzz_targets::model_files),
    ("onnx", fuzz_targets::onnx),
    ("pickle", fuzz_targets::pickle),
    ("protobuf", fuzz_targets::protobuf),
    ("records", fuzz_targets::records),
    ("transcript", fuzz_targets::transcript),
    ("upload", fuzz_targets::upload),
    ("window", fuzz_targets::window),
];

/// What one input may take. Most take a thousandth.
const MAX_TIME: Duration = Duration::from_secs(10);
const MAX_BYTES: u64 = 256 << 20;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Returns the names in a directory, in order; none if there is no directory.
fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn replay(kept: &str) -> io::Result<usize> {
    let mut count = 0;
    for (name, target) in TARGETS {
        let directory = directory(kept).join(name);
        for file in names(&directory)? {
            let bytes = fs::read(directory.join(&file))?;
            // Names the input if the target panics.
            println!("{kept}/{name}/{file}");
            let start = Instant::now();
            let allocated = allocation_counter::measure(|| target(&bytes));
            assert!(start.elapsed() < MAX_TIME, "{name}/{file}: {:?}", start.elapsed());
            assert!(allocated.bytes_max < MAX_BYTES, "{name}/{file}: {allocated:?}");
            count += 1;
        }
    }
    Ok(count)
}

#[test]
fn inputs_of_the_corpus_do_no_harm() -> io::Result<()> {
    assert!(replay("corpus")? > 10 * TARGETS.len());
    Ok(())
}

#[test]
fn inputs_that_failed_before_do_no_harm() -> io::Result<()> {
    assert!(replay("regressions")? > 0);
    Ok(())
}

/// A fuzzer that is not replayed, or has no corpus, is not noticed otherwise.
#[test]
fn every_fuzzer_is_replayed() -> io::Result<()> {
    let targets: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    let programs = names(&directory("fuzz_targets"))?;
    let programs = programs.iter().filter_map(|name| name.strip_suffix(".rs"));
    assert_eq!(programs.map(str::to_owned).collect::<BTreeSet<_>>(), targets);
    assert_eq!(names(&directory("corpus"))?, targets);
    assert!(names(&directory("regressions"))?.is_subset(&targets));
    Ok(())
}
