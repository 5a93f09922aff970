//! Where the time goes in a part of an ONNX file; see `support` for the arguments, and
//! `allocations` for the memory. `NODES=1` lists single nodes too.

#![allow(clippy::print_stdout)]

mod support;

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, Instant},
};

use engine::Products;

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let (network, tensors) = support::network()?;
    let (mut least, mut computed, mut faulted) = (Duration::MAX, Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let inputs = tensors.clone();
        let (start, before, faults) = (Instant::now(), computing(), page_faults());
        network.run(inputs)?;
        least = least.min(start.elapsed());
        computed.push(computing() - before);
        faulted.push(page_faults() - faults);
    }
    let resident = support::resident();
    computed.sort_unstable();
    faulted.sort_unstable();
    let (median, faults) = (computed[RUNS / 2], faulted[RUNS / 2]);
    println!(
        "runs in {least:.2?} at best, computes {median:.2?}, {faults} page faults, \
         {resident} MB resident"
    );

    let (result, recording) = engine::record(|| network.run(tensors));
    result?;
    let mut times: Vec<_> = recording.runs.into_iter().flat_map(|run| run.operators).collect();
    let mut kinds = HashMap::<_, (usize, Duration, Products)>::new();
    let total: Duration = times.iter().map(|time| time.time).sum();
    for time in &times {
        let kind = kinds.entry((&time.operator, time.generic)).or_default();
        *kind = (kind.0 + 1, kind.1 + time.time, kind.2);
        kind.2 += time.products;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|&(_, (_, time, _))| std::cmp::Reverse(time));
    for ((kind, generic), (count, time, products)) in kinds.into_iter().take(25) {
        let share = 100.0 * time.as_secs_f64() / total.as_secs_f64();
        let speed = products.total() as f64 / time.as_secs_f64() / 1e9;
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

/// Time that this thread computed, which others on the machine do not change much.
fn computing() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Pages that this thread was given, where the system tells.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // After the name, which may hold blanks: the state is the first field, minor faults the eighth.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(7).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}
