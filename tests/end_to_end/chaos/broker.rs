//! A RabbitMQ of this test's own, which really stops and starts again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Removed, with all that it has stored, when it is dropped.
pub(super) struct Broker {
    directory: PathBuf,
    pub(super) url: String,
}

/// How a broker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Like that of a machine without power.
    Sudden,
    Orderly,
}

impl Broker {
    /// Starts a broker whose files are in `directory`, which must not exist.
    pub(super) fn create(directory: &Path) -> Self {
        // Before it is started, so that it is removed if that fails.
        let mut broker = Self { directory: directory.to_owned(), url: String::new() };
        broker.url = broker.run("create").trim().to_owned();
        broker
    }

    /// Returns host and port.
    pub(super) fn address(&self) -> String {
        let (_, host) = self.url.rsplit_once('@').unwrap();
        host.split('/').next().unwrap().to_owned()
    }

    /// Stops the broker.
    pub(super) fn stop(&self, end: End) {
        self.run(match end {
            End::Sudden => "kill",
            End::Orderly => "halt",
        });
    }

    /// Starts a broker that was stopped, and waits until it answers.
    pub(super) fn start(&self) {
        self.run("start");
    }

    /// Returns the number of messages in each queue, also of those that somebody has leased.
    pub(super) fn queues(&self) -> BTreeMap<String, u64> {
        let listed = self.run("queues");
        let queue = |line: &str| {
            let (name, messages) = line.split_once('\t')?;
            Some((name.to_owned(), messages.trim().parse().ok()?))
        };
        listed.lines().filter_map(queue).collect()
    }

    fn run(&self, action: &str) -> String {
        let Output { status, stdout, stderr } =
            Command::new(script("node.sh")).arg(action).arg(&self.directory).output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "node.sh {action}: {text}");
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = Command::new(script("stop.sh")).arg(&self.directory).status();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/services").join(name)
}
