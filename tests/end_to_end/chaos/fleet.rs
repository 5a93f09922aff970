//! The worker processes. Each has its own way to the broker and to the store, and its own clock; one that
//! ends is replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Report, gateway::Gateway};
use crate::{proxy::Proxy, support::Scriptorium};

/// A worker that is told to stop takes no longer: two seconds to finish its jobs, and some to leave.
const EXIT: Duration = Duration::from_secs(20);
/// Younger processes may not have begun to listen to signals.
const YOUNG: Duration = Duration::from_secs(2);

/// A place in the fleet, with one process after the other.
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) gateway: Gateway,
    broker: tokio::sync::Mutex<Proxy>,
    /// Whether the connections to the broker pass nothing on.
    frozen: watch::Sender<bool>,
    /// The file that says how wrong the clock is, and the library that reads it.
    clock: Option<(PathBuf, PathBuf)>,
    log: PathBuf,
    process: Mutex<Option<Running>>,
}

struct Running {
    pid: u32,
    /// In records.
    name: String,
    since: Instant,
    asked: Option<&'static str>,
}

impl Slot {
    pub(super) async fn new(
        number: usize,
        gateway: Gateway,
        broker: &str,
        directory: &Path,
        library: Option<&PathBuf>,
    ) -> Self {
        let (frozen, watched) = watch::channel(false);
        let relay = move |client, server| relay(client, server, watched.clone()).boxed();
        let mut proxy = Proxy::with_relay(broker, Arc::new(relay)).await;
        proxy.restore().await;
        let clock =
            library.map(|library| (directory.join(format!("clock-{number}")), library.clone()));
        let this = Self {
            number,
            gateway,
            broker: proxy.into(),
            frozen,
            clock,
            log: directory.join(format!("worker-{number}.log")),
            process: Mutex::default(),
        };
        this.step_clock(0);
        this
    }

    pub(super) async fn broker_address(&self) -> String {
        self.broker.lock().await.address()
    }

    /// Sets how far the clock is ahead. Time goes on as before.
    pub(super) fn step_clock(&self, seconds: i64) {
        let Some((file, _)) = &self.clock else { return };
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Breaks the connections to the broker, and refuses new ones for a time.
    pub(super) async fn cut_broker(&self, time: Duration) {
        let mut broker = self.broker.lock().await;
        broker.cut().await;
        sleep(time).await;
        broker.restore().await;
    }

    /// Lets nothing pass between worker and broker for a time, and breaks the connections then.
    pub(super) async fn freeze_broker(&self, time: Duration) {
        self.frozen.send_replace(true);
        sleep(time).await;
        self.frozen.send_replace(false);
    }

    /// Returns the name of the process that runs now.
    pub(super) fn name(&self) -> Option<String> {
        self.process.lock().unwrap().as_ref().map(|running| running.name.clone())
    }

    /// Sends a signal to the process, if one runs.
    pub(super) fn signal(&self, signal: &'static str) -> bool {
        let mut process = self.process.lock().unwrap();
        let Some(running) = &mut *process else { return false };
        if matches!(signal, "KILL" | "TERM") {
            running.asked = Some(signal);
        }
        let pid = running.pid.to_string();
        std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success()
    }

    /// Keeps a process running until `stopping`, then stops it.
    pub(super) async fn supervise(
        self: Arc<Self>,
        scriptorium: Arc<Scriptorium>,
        stopping: CancellationToken,
        report: Arc<Report>,
    ) {
        let mut life = 0;
        while !stopping.is_cancelled() {
            life += 1;
            let name = format!("chaos-{}-{life}", self.number);
            let mut child = self.start(&scriptorium, &name);
            let process =
                Running { pid: child.id().unwrap(), name, since: Instant::now(), asked: None };
            *self.process.lock().unwrap() = Some(process);
            let exit = tokio::select! {
                exit = child.wait() => exit.unwrap(),
                () = stopping.cancelled() => {
                    self.signal("TERM");
                    match timeout(EXIT, child.wait()).await {
                        Ok(exit) => exit.unwrap(),
                        Err(_) => {
                            report.violation(format!("worker {} does not stop", self.number));
                            child.kill().await.unwrap();
                            return;
                        }
                    }
                }
            };
            let ended = self.process.lock().unwrap().take().unwrap();
            let was_expected = match ended.asked {
                Some("KILL") => true,
                Some(_) => exit.code() == Some(0) || ended.since.elapsed() < YOUNG,
                None => false,
            };
            if !was_expected {
                let asked = ended.asked.unwrap_or("nothing");
                report.violation(format!("{} ended with {exit}; it was sent {asked}", ended.name));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn start(&self, scriptorium: &Scriptorium, name: &str) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::from(scriptorium.command(["worker", "--threads", "1"]));
        if let Some((file, library)) = &self.clock {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_CACHE_DURATION", "1")
                // A step of the clock leaves the clock alone that counts since the start of the machine.
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
            .env("SCRIPTORIUM__WORKER__NAME", name)
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

/// Passes on what both sides send, unless the connection is `frozen`; that ends it.
async fn relay(mut client: TcpStream, mut server: TcpStream, mut frozen: watch::Receiver<bool>) {
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        _ = frozen.wait_for(|frozen| *frozen) => {}
    }
    let _ = frozen.wait_for(|frozen| !frozen).await;
}

/// Returns the library that changes the clock of a process, if it is installed (Debian's `faketime`).
pub(super) fn clock_library() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut paths = libraries.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = paths.find(|path| path.exists());
    if found.is_none() {
        eprintln!("\n!! SKIPPED: no steps of the clock: install Debian's package faketime\n");
    }
    found
}
