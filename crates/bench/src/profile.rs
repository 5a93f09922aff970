//! Profiles by kind of operator, laid out like the tables of PyTorch's profiler.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    thread::ThreadId,
    time::{Duration, Instant},
};

use engine::MacCounts;
use kernels::peak::Peak;
use serde::Serialize;
use speech::{
    compute::Compute,
    recognizer::{RecognizeOptions, Recognizer},
};

use crate::segments::{run_on_pool, warm_up};

/// Recording of one segment.
pub(crate) struct ProfiledSegment {
    pub(crate) thread: ThreadId,
    /// Time since profiling began.
    pub(crate) start: Duration,
    pub(crate) profile: engine::Profile,
}

/// Maximum number of profiled segments per thread: each records thousands of operators.
const MAX_RUNS: u32 = 20;

/// Recognizes `samples` on all threads, `runs` times each but at most [`MAX_RUNS`]. The result is
/// in order of start.
pub(crate) fn record(
    recognizer: &Arc<dyn Recognizer>,
    pool: &dyn Compute,
    threads: usize,
    samples: Arc<[f32]>,
    runs: u32,
) -> anyhow::Result<Vec<ProfiledSegment>> {
    warm_up(recognizer, pool, threads, &samples)?;
    let (recognizer, epoch) = (Arc::clone(recognizer), Instant::now());
    let mut segments = run_on_pool(pool, threads * runs.min(MAX_RUNS) as usize, move || {
        let start = epoch.elapsed();
        let (result, profile) =
            engine::profile(|| recognizer.recognize(&samples, &RecognizeOptions::default()));
        result?;
        Ok(ProfiledSegment { thread: std::thread::current().id(), start, profile })
    })?;
    segments.sort_by_key(|segment| segment.start);
    Ok(segments)
}

/// A profile; all numbers are per segment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Profile {
    seconds: f64,
    threads: usize,
    /// Number of profiled segments.
    segments: usize,
    /// Mean wall time of a segment.
    wall_ms: f64,
    /// Time of its multiply-accumulates (MACs) if all ran at the peak of their type.
    floor_ms: f64,
    operators: Vec<Row>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    operator: String,
    /// Whether the operator is one of tract's own, for any graph.
    generic: bool,
    calls: usize,
    ms: f64,
    /// Share of the segment's wall time.
    share: f64,
    int8_products: u64,
    bf16_products: u64,
    f32_products: u64,
    /// Billions of MACs per second.
    gmac_per_second: f64,
    /// Share of its time that its MACs would take at the peak of their type.
    share_of_peak: f64,
}

impl Profile {
    pub(crate) fn new(
        profiled: &[ProfiledSegment],
        seconds: f64,
        threads: usize,
        peak: &Peak,
    ) -> Self {
        let segments = profiled.len().max(1);
        let runs = || profiled.iter().flat_map(|segment| &segment.profile.runs);
        let mut kinds = BTreeMap::<(&str, bool), (usize, Duration, MacCounts)>::new();
        for time in runs().flat_map(|run| &run.operators) {
            let kind = kinds.entry((time.operator.as_str(), time.generic)).or_default();
            *kind = (kind.0 + 1, kind.1 + time.time, kind.2);
            kind.2 += time.macs;
        }
        let all: Duration = profiled.iter().map(|segment| segment.profile.time).sum();
        let within: Duration = runs().map(|run| run.time).sum();
        let counted: Duration = kinds.values().map(|kind| kind.1).sum();

        let mut operators: Vec<Row> = kinds
            .into_iter()
            .map(|((operator, generic), (calls, time, macs))| Row {
                calls,
                generic,
                ..Row::new(operator, time, all, macs, segments, peak)
            })
            .collect();
        operators.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        for (name, time) in [
            ("(between operators)", within.saturating_sub(counted)),
            ("(outside of the networks)", all.saturating_sub(within)),
        ] {
            operators.push(Row::new(name, time, all, MacCounts::default(), segments, peak));
        }
        for row in &mut operators {
            row.calls = row.calls.div_ceil(segments);
        }
        let floor_ms = operators.iter().map(|row| row.ms * row.share_of_peak).sum();
        let wall_ms = 1e3 * all.as_secs_f64() / segments as f64;
        Self { seconds, threads, segments: profiled.len(), wall_ms, floor_ms, operators }
    }
}

impl Row {
    fn new(
        operator: &str,
        time: Duration,
        all: Duration,
        macs: MacCounts,
        segments: usize,
        peak: &Peak,
    ) -> Self {
        let seconds = time.as_secs_f64().max(1e-9);
        let at_peak = macs.int8 as f64 / peak.int8.macs_per_second
            + macs.bf16 as f64 / peak.bf16.macs_per_second
            + macs.f32 as f64 / peak.f32.macs_per_second;
        let per_segment = |count: u64| count / segments as u64;
        Self {
            operator: operator.to_owned(),
            ms: 1e3 * seconds / segments as f64,
            share: seconds / all.as_secs_f64().max(1e-9),
            int8_products: per_segment(macs.int8),
            bf16_products: per_segment(macs.bf16),
            f32_products: per_segment(macs.f32),
            gmac_per_second: macs.total() as f64 / seconds / 1e9,
            share_of_peak: at_peak / seconds,
            ..Self::default()
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, threads, segments, .. } = self;
        writeln!(
            f,
            "\nProfile of {seconds} s on {threads} thread{}, per segment (of {segments}); * tract's \
             own operators\n\n{:<28}{:>7}{:>10}{:>9}{:>10}{:>10}",
            if *threads == 1 { "" } else { "s" },
            "operator",
            "calls",
            "ms",
            "share",
            "GMAC/s",
            "of peak",
        )?;
        for row in &self.operators {
            let name = format!("{}{}", row.operator, if row.generic { " *" } else { "" });
            let calls = if row.calls > 0 { row.calls.to_string() } else { String::new() };
            write!(f, "{name:<28}{calls:>7}{:>10.2}{:>7.1} %", row.ms, 100.0 * row.share)?;
            if row.gmac_per_second > 0.0 {
                let share = 100.0 * row.share_of_peak;
                write!(f, "{:>10.1}{share:>8.1} %", row.gmac_per_second)?;
            }
            writeln!(f)?;
        }
        let share = 100.0 * self.floor_ms / self.wall_ms.max(1e-9);
        writeln!(
            f,
            "{:<28}{:>7}{:>10.2}   its MACs at the peak: {:.2} ms, {share:.1} % of it",
            "all", "", self.wall_ms, self.floor_ms
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use engine::{NetworkRun, OperatorTime};
    use kernels::peak::Rate;

    use super::*;

    /// Takes 10 ms: 1 before the network, 7 in it (6 of them in operators), 2 after.
    pub(crate) fn profiled_segment() -> ProfiledSegment {
        let ms = Duration::from_millis;
        let operator = |operator: &str, start, time, macs, generic| OperatorTime {
            operator: operator.to_owned(),
            name: format!("/node \"{operator}\""),
            start: ms(start),
            time: ms(time),
            macs,
            generic,
        };
        let int8 = MacCounts { int8: 1_000_000, ..MacCounts::default() };
        let mixed = MacCounts { bf16: 500_000, f32: 100_000, ..MacCounts::default() };
        let operators = vec![
            operator("Linear", 1, 2, int8, false),
            operator("Attention", 3, 1, mixed, false),
            operator("Linear", 4, 2, int8, false),
            operator("Slice", 6, 1, MacCounts::default(), true),
        ];
        let run = NetworkRun { start: ms(1), time: ms(7), operators };
        let profile = engine::Profile { time: ms(10), runs: vec![run] };
        ProfiledSegment { thread: std::thread::current().id(), start: ms(5), profile }
    }

    #[test]
    fn computes_shares_of_time_and_of_the_peak() {
        let rate = |macs_per_second| Rate { instruction: "x", macs_per_second };
        let peak = Peak { int8: rate(1e9), bf16: rate(1e9), f32: rate(1e9) };
        let profile = Profile::new(&[profiled_segment(), profiled_segment()], 10.0, 1, &peak);
        let names: Vec<_> = profile.operators.iter().map(|row| row.operator.as_str()).collect();
        let others = ["(between operators)", "(outside of the networks)"];
        assert_eq!(names, [&["Linear", "Attention", "Slice"][..], &others].concat());
        let times: Vec<_> = profile.operators.iter().map(|row| row.ms).collect();
        assert_eq!(times, [4.0, 1.0, 1.0, 1.0, 3.0]);
        assert!((profile.operators.iter().map(|row| row.share).sum::<f64>() - 1.0).abs() < 1e-9);
        let [linear, attention, slice, ..] = profile.operators.as_slice() else { panic!("rows") };
        assert_eq!((linear.calls, linear.int8_products), (2, 2_000_000));
        assert!((linear.gmac_per_second - 0.5).abs() < 1e-9 && !linear.generic);
        assert!((linear.share_of_peak - 0.5).abs() < 1e-9);
        assert!((attention.share_of_peak - 0.6).abs() < 1e-9, "{attention:?}");
        assert!(slice.generic && slice.share_of_peak == 0.0);
        assert!((profile.wall_ms - 10.0).abs() < 1e-9 && (profile.floor_ms - 2.6).abs() < 1e-9);
        let text = profile.to_string();
        assert!(text.contains("Slice *") && text.contains("26.0 % of it"), "{text}");
    }

    #[test]
    fn an_empty_profile_is_a_table_without_nan() {
        let rate = Rate { instruction: "x", macs_per_second: 1e9 };
        let peak = Peak { int8: rate, bf16: rate, f32: rate };
        let profile = Profile::new(&[], 1.0, 1, &peak);
        assert!(!profile.to_string().contains("NaN"), "{profile}");
    }
}
