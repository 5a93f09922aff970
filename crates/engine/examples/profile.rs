//! Where the time goes in a part of an ONNX file; see `support` for the arguments, and
//! `allocations` for the memory. `NODES=1` lists single nodes too.

#![allow(clippy::print_stdout)]

mod support;

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, Instant},
};

use engine::MacCounts;

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let (network, tensors) = support::network()?;
    let (mut fastest, mut cpu_times, mut faults) = (Duration::MAX, Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let inputs = tensors.clone();
        let (start, cpu_before, faults_before) = (Instant::now(), cpu_time(), page_faults());
        network.run(inputs)?;
        fastest = fastest.min(start.elapsed());
        cpu_times.push(cpu_time() - cpu_before);
        faults.push(page_faults() - faults_before);
    }
    let resident = support::resident();
    cpu_times.sort_unstable();
    faults.sort_unstable();
    let (cpu_time, faults) = (cpu_times[RUNS / 2], faults[RUNS / 2]);
    println!(
        "fastest run {fastest:.2?}, median CPU time {cpu_time:.2?}, {faults} page faults, \
         {resident} MB resident"
    );

    let (result, profile) = engine::profile(|| network.run(tensors));
    result?;
    let mut times: Vec<_> = profile.runs.into_iter().flat_map(|run| run.operators).collect();
    let mut kinds = HashMap::<_, (usize, Duration, MacCounts)>::new();
    let total: Duration = times.iter().map(|time| time.time).sum();
    for time in &times {
        let kind = kinds.entry((&time.operator, time.generic)).or_default();
        *kind = (kind.0 + 1, kind.1 + time.time, kind.2);
        kind.2 += time.macs;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|&(_, (_, time, _))| std::cmp::Reverse(time));
    for ((kind, generic), (count, time, macs)) in kinds.into_iter().take(25) {
        let share = 100.0 * time.as_secs_f64() / total.as_secs_f64();
        let speed = macs.total() as f64 / time.as_secs_f64() / 1e9;
        let origin = if generic { " (tract's)" } else { "" };
        println!("{share:5.1} %  {time:>10.2?}  {count:4}  {speed:6.1} GMAC/s  {kind}{origin}");
    }
    if std::env::var_os("NODES").is_some() {
        times.sort_by_key(|time| std::cmp::Reverse(time.time));
        for time in times.iter().take(40) {
            println!("{:>10.2?}  {}  {}", time.time, time.operator, time.name);
        }
    }
    Ok(())
}

/// Returns the CPU time of this thread, which depends little on other processes.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the number of minor page faults of this thread, 0 if the system does not report it.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // After the process name, which may contain blanks, state is the first field and minor faults
    // the eighth.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(7).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}
