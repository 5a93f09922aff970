//! A running FFmpeg: gets the recording, gives PCM, and is ended when nobody wants it any more.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::log::SharedLog;
use super::program::Ffmpeg;
use super::spool::read_failure;
use crate::Error;
use crate::source::Source;

/// Bytes given to the process at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// Time in which a process must read or write something. It only computes in between: while the store
/// is slow, the process waits for us, and not we for it.
const STALL: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// Time that a process has to end after it has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits on a process, which the system enforces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    cpu_seconds: u64,
    memory_bytes: u64,
}

impl Limits {
    /// Returns limits for a recording of this many bytes, if known, and of up to `max_duration`.
    pub(super) fn new(bytes: Option<u64>, max_duration: Duration) -> Self {
        /// Milliseconds that each KiB may take: ten times what the slowest codec takes.
        const MILLISECONDS_PER_KIB: u64 = 20;
        let slowest = max_duration.as_secs() / 4;
        let scaled = bytes.map_or(slowest, |bytes| bytes / 1024 * MILLISECONDS_PER_KIB / 1000);
        Self { cpu_seconds: 60 + scaled.min(slowest), memory_bytes: 2 << 30 }
    }

    #[cfg(target_os = "linux")]
    fn apply(self, child: &Child) -> io::Result<()> {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = Some(Pid::from_child(child));
        let limits = [
            (Resource::Cpu, self.cpu_seconds),
            (Resource::As, self.memory_bytes),
            // It writes to pipes only.
            (Resource::Fsize, 0),
            (Resource::Core, 0),
        ];
        for (resource, limit) in limits {
            prlimit(pid, resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn apply(self, _: &Child) -> io::Result<()> {
        Ok(())
    }
}

/// A running FFmpeg.
pub(super) struct Process {
    child: Child,
    identity: String,
    limits: Limits,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    /// `None` once everything was written, or if the process reads a file.
    input: Option<ChildStdin>,
    source: Option<Source>,
    /// Bytes to write, and how many of them were written.
    chunk: Vec<u8>,
    written: usize,
    log: SharedLog,
    finished: bool,
}

impl Process {
    /// Starts the program. Its standard input is `file`, or a pipe that `source` is written to while
    /// [`Process::read`] is called.
    pub(super) fn spawn(
        ffmpeg: &Ffmpeg,
        arguments: &[String],
        file: Option<&File>,
        source: Option<Source>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Program { program: ffmpeg.identity(), source };
        let stdin = match file {
            Some(mut file) => {
                // A copy of the descriptor has the same position.
                io::Seek::rewind(&mut file).map_err(Error::Spool)?;
                Stdio::from(file.try_clone().map_err(Error::Spool)?)
            }
            None => Stdio::piped(),
        };
        let mut child = ffmpeg
            .command()
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (output, errors, input) =
            (child.stdout.take(), child.stderr.take(), child.stdin.take());
        // `piped` makes these pipes; the process ends with them in any case.
        let Some(output) = output else {
            end(&mut child);
            return Err(failed(ErrorKind::BrokenPipe.into()));
        };
        let process = Self {
            child,
            identity: ffmpeg.identity(),
            limits,
            output,
            errors,
            input,
            source,
            chunk: Vec::new(),
            written: 0,
            log: SharedLog::default(),
            finished: false,
        };
        let prepare = || {
            limits.apply(&process.child)?;
            nonblocking(&process.output)?;
            process.errors.as_ref().map_or(Ok(()), nonblocking)?;
            process.input.as_ref().map_or(Ok(()), nonblocking)
        };
        prepare().map_err(failed)?;
        Ok(process)
    }

    pub(super) fn log(&self) -> SharedLog {
        self.log.clone()
    }

    /// Lets the process run until it ends, however it ends, and returns the source.
    pub(super) fn run_to_the_end(mut self) -> Result<Option<Source>, Error> {
        let mut buf = [0; 4096];
        while self.transfer(&mut buf)? > 0 {}
        self.wait()?;
        Ok(self.source.take())
    }

    /// Reads what the process writes. Returns 0 once it has ended successfully.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if self.finished || buf.is_empty() {
            return Ok(0);
        }
        let n = self.transfer(buf)?;
        if n > 0 {
            return Ok(n);
        }
        let status = self.wait()?;
        self.finished = true;
        if status.success() { Ok(0) } else { Err(self.failure(status)) }
    }

    /// Gives the process its input until it has written something. Returns 0 when it has closed its
    /// output.
    fn transfer(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            let ready = self.poll()?;
            if ready.errors {
                self.read_errors();
            }
            if ready.output {
                match self.output.read(buf) {
                    Ok(n) => return Ok(n),
                    Err(e) if is_transient(&e) => {}
                    Err(e) => return Err(self.broken(e)),
                }
            }
            if ready.input {
                self.write_input()?;
            }
        }
    }

    /// Waits until one of the pipes is ready.
    fn poll(&self) -> Result<Ready, Error> {
        let mut fds = vec![PollFd::new(&self.output, PollFlags::IN)];
        fds.extend(self.errors.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.input.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        let count = loop {
            match poll(&mut fds, Some(&STALL)) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result.map_err(|e| self.broken(e.into()))?,
            }
        };
        if count == 0 {
            let waited = format!("neither read nor wrote for {} s", STALL.tv_sec);
            return Err(Error::corrupt(format!("{} {waited} and was ended", self.identity)));
        }
        // Closed pipes are ready as well: reading them tells.
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |exists: bool| exists && ready.next().unwrap_or(false);
        Ok(Ready {
            output: next(true),
            errors: next(self.errors.is_some()),
            input: next(self.input.is_some()),
        })
    }

    fn read_errors(&mut self) {
        let mut buf = [0; 4096];
        let Some(pipe) = &mut self.errors else { return };
        match pipe.read(&mut buf) {
            Ok(0) => self.errors = None,
            Ok(n) => self.log.push(&buf[..n]),
            Err(e) if is_transient(&e) => {}
            Err(_) => self.errors = None,
        }
    }

    fn write_input(&mut self) -> Result<(), Error> {
        let (Some(pipe), Some(source)) = (&mut self.input, &mut self.source) else {
            self.input = None;
            return Ok(());
        };
        if self.written == self.chunk.len() {
            self.chunk.resize(CHUNK, 0);
            let n = source.read(&mut self.chunk).map_err(|e| read_failure(source, e))?;
            self.chunk.truncate(n);
            self.written = 0;
            if n == 0 {
                self.input = None;
                return Ok(());
            }
        }
        match pipe.write(&self.chunk[self.written..]) {
            Ok(n) => self.written += n,
            Err(e) if is_transient(&e) => {}
            // It has what it wants: the streams, or an audio track that ends before the file.
            Err(_) => self.input = None,
        }
        Ok(())
    }

    /// Waits for the end of a process that has closed its output.
    fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.input = None;
        let deadline = Instant::now() + EXIT_TIMEOUT;
        loop {
            self.read_errors();
            if let Some(status) = self.child.try_wait().map_err(|e| self.broken(e))? {
                // What is left in the pipe.
                for _ in 0..64 {
                    self.read_errors();
                }
                return Ok(status);
            }
            if Instant::now() > deadline {
                end(&mut self.child);
                return Err(Error::corrupt(format!("{} did not end", self.identity)));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns the error for a process that failed.
    fn failure(&self, status: ExitStatus) -> Error {
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal: Option<i32> = None;
        let reason = match signal {
            // SIGXCPU, or SIGKILL from the system when soft and hard limit are the same.
            Some(24 | 9) => format!(
                "was ended: it may use {} s of CPU time for this recording",
                self.limits.cpu_seconds
            ),
            Some(signal) => format!("crashed (signal {signal})"),
            None => match self.log.last_line() {
                Some(line) => format!("failed: {line}"),
                None => format!("failed ({status})"),
            },
        };
        Error::corrupt(format!("{} {reason}", self.identity))
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Program { program: self.identity.clone(), source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Which pipes can be read or written.
struct Ready {
    output: bool,
    errors: bool,
    input: bool,
}

/// Ends the process at once, and waits for it so that it does not stay as a zombie.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Makes our end of a pipe non-blocking; the other end has its own flags.
fn nonblocking(pipe: &impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}
