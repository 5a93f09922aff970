//! FFmpeg's program: where it is, its version, and what it can do.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::log::SharedLog;
use super::spool::Spool;

/// Time in which the program must print its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// FFmpeg's program, installed and asked for its version.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    pub(super) path: PathBuf,
    version: String,
    /// Whether it has the protocol `fd` (since FFmpeg 6), which seeks in a file that it was given.
    pub(super) reads_descriptors: bool,
    pub(super) spool: Spool,
}

/// Why the program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot run {path}")]
    Run { path: String, source: io::Error },
    #[error("{path} does not say that it is ffmpeg")]
    NotFfmpeg { path: String },
}

impl Ffmpeg {
    /// Asks the program at `path` for its version. Recordings in which it must seek are copied to
    /// files of up to `max_spool_bytes` in the folder `spool`, which have no name and vanish with
    /// the process.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be run, or is another program.
    pub fn open(path: &Path, spool: PathBuf, max_spool_bytes: u64) -> Result<Self, ProgramError> {
        let run = |source| ProgramError::Run { path: path.display().to_string(), source };
        // The list of protocols goes to the standard output, the banner with the version to the
        // standard error.
        let (protocols, banner) = list_protocols(path).map_err(run)?;
        let version = banner
            .lines()
            .find_map(|line| line.strip_prefix("ffmpeg version ")?.split_whitespace().next())
            .ok_or_else(|| ProgramError::NotFfmpeg { path: path.display().to_string() })?;
        Ok(Self {
            path: path.to_owned(),
            version: errors::printable(version).into_owned(),
            reads_descriptors: protocols.lines().any(|line| line.trim() == "fd"),
            spool: Spool { directory: spool, max_bytes: max_spool_bytes },
        })
    }

    /// Returns its name and version, as in `ffmpeg 5.1.9`.
    pub fn identity(&self) -> String {
        format!("ffmpeg {}", self.version)
    }

    /// Returns a command that inherits nothing: no environment, in which there may be keys of the
    /// store, and no place in the process group that Ctrl-C interrupts.
    pub(super) fn command(&self) -> Command {
        command(&self.path)
    }

    /// Returns a sentence with the program's last message.
    pub(super) fn last_message(&self, what: &str, log: &SharedLog) -> String {
        let line = log.last_line().unwrap_or_else(|| "it does not say why".to_owned());
        format!("{} {what}: {line}", self.identity())
    }
}

fn command(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("LC_ALL", "C").env("AV_LOG_FORCE_NOCOLOR", "1").current_dir("/");
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Returns what `ffmpeg -protocols` writes to its standard output and error.
fn list_protocols(path: &Path) -> io::Result<(String, String)> {
    let mut child = command(path)
        .arg("-protocols")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            pipe.map(|pipe| pipe.take(1 << 20).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(out.map(|pipe| Box::new(pipe) as _));
    let err = read(err.map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + VERSION_TIMEOUT;
    loop {
        if child.try_wait()?.is_some() {
            break;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let text = |thread: thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok((text(out), text(err)))
}

impl fmt::Display for Ffmpeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.identity(), self.path.display())
    }
}
