//! Metrics of the process, under the names that Prometheus' client libraries give them.

use std::{fs, time::SystemTime};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Reads the metrics of this process when they are asked for.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    start_seconds: f64,
}

impl ProcessCollector {
    /// Call it when the process starts.
    pub(crate) fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { start_seconds: start.as_secs_f64() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu = ConstCounter::new(cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9);
        let help = "CPU time of the process";
        let kind = cpu.metric_type();
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
        let start = ConstGauge::new(self.start_seconds);
        let help = "Time of the start, in seconds since 1970";
        let kind = start.metric_type();
        start.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            help,
            None,
            kind,
        )?)?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                status("VmRSS:").map(|kb| kb * 1024),
            ),
            ("process_threads", "Threads", status("Threads:")),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "Limit on open file descriptors", max_files()),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// Returns the soft limit; `None` if there is none.
fn max_files() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns a number of `/proc/self/status`.
fn status(name: &str) -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
