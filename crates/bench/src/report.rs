//! The report, as a table and as JSON. docs/performance.md describes the fields.

use std::{fmt, path::Path};

use kernels::peak::{self, Peak};
use serde::{Serialize, Serializer};
use speech::recognizer::Description;

use crate::{
    pipeline::{self, PipelineMeasurement},
    process,
    profile::Profile,
    segments::SegmentMeasurement,
    units::megabytes,
};

/// Everything that one run measured.
#[derive(Serialize)]
pub struct Report {
    pub(crate) version: &'static str,
    pub(crate) machine: Machine,
    pub(crate) model: Model,
    /// `generated`, or the recording's path.
    pub(crate) sound: String,
    pub(crate) pinned: bool,
    pub(crate) load: LoadTimes,
    pub(crate) memory: MemoryUse,
    pub(crate) segments: Vec<SegmentMeasurement>,
    pub(crate) threads: Vec<ThreadsMemory>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pipeline: Vec<PipelineMeasurement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<Profile>,
}

#[derive(Serialize)]
pub(crate) struct Machine {
    cpu: Option<String>,
    architecture: &'static str,
    /// Instruction sets that matrices are multiplied with.
    instruction_sets: &'static str,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    #[serde(serialize_with = "peak")]
    pub(crate) peak: Peak,
}

#[derive(Serialize)]
pub(crate) struct Model {
    name: String,
    family: &'static str,
    precision: &'static str,
    directory: String,
    digest: String,
}

#[derive(Serialize)]
pub(crate) struct LoadTimes {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
}

#[derive(Serialize)]
pub(crate) struct MemoryUse {
    pub(crate) before_load_bytes: Option<u64>,
    pub(crate) after_load_bytes: Option<u64>,
    pub(crate) load_peak_bytes: Option<u64>,
}

/// Memory that a number of threads needed.
#[derive(Serialize)]
pub(crate) struct ThreadsMemory {
    pub(crate) threads: usize,
    /// Peak over all durations.
    pub(crate) peak_bytes: Option<u64>,
    /// Additional memory per additional thread, compared with the fewest threads measured.
    pub(crate) bytes_per_extra: Option<u64>,
}

impl Machine {
    /// Measures the peak of one core, and collects the rest.
    pub(crate) fn measure() -> Result<Self, app::Error> {
        Ok(Self {
            cpu: process::cpu(),
            architecture: std::env::consts::ARCH,
            instruction_sets: app::instruction_sets()?,
            cores: app::available_cores(),
            peak: peak::measure(),
        })
    }
}

impl Model {
    pub(crate) fn new(directory: &Path, description: &Description) -> Self {
        Self {
            name: description.name.clone(),
            family: description.family,
            precision: description.precision,
            directory: directory.display().to_string(),
            digest: description.digest.clone(),
        }
    }
}

impl Report {
    /// Fills in the memory that each additional thread costs.
    pub(crate) fn compare_threads(&mut self) {
        let Some((base, more)) = self.threads.split_first_mut() else { return };
        for other in more {
            let extra = (other.threads - base.threads).max(1) as u64;
            let bytes = other.peak_bytes.zip(base.peak_bytes);
            other.bytes_per_extra = bytes.map(|(bytes, base)| bytes.saturating_sub(base) / extra);
        }
    }
}

/// Serializes the instruction and the multiply-accumulates per second, by number format.
fn peak<S: Serializer>(peak: &Peak, serializer: S) -> Result<S::Ok, S::Error> {
    let rates = [("int8", peak.int8), ("bf16", peak.bf16), ("f32", peak.f32)];
    serializer.collect_map(rates.map(|(kind, rate)| {
        let fields = serde_json::json!({
            "instruction": rate.instruction,
            "products_per_second": rate.macs_per_second,
        });
        (kind, fields)
    }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, architecture, instruction_sets, cores, peak } = &self.machine;
        writeln!(
            f,
            "scriptorium {} on {} ({instruction_sets}), {cores} core{}",
            self.version,
            cpu.as_deref().unwrap_or(architecture),
            if *cores == 1 { "" } else { "s" },
        )?;
        write!(f, "peak of one core in GMAC/s:")?;
        for (kind, rate) in [("int8", peak.int8), ("bf16", peak.bf16), ("f32", peak.f32)] {
            let comma = if kind == "int8" { "" } else { "," };
            let speed = rate.macs_per_second / 1e9;
            write!(f, "{comma} {kind} {speed:.0} ({})", rate.instruction)?;
        }
        let Model { name, family, precision, .. } = &self.model;
        let MemoryUse { before_load_bytes, after_load_bytes, load_peak_bytes } = &self.memory;
        writeln!(
            f,
            "\n{name} ({family}, {precision}): loaded in {:.2} s, {:.2} s of CPU; memory {} MB \
             before, {} MB after, {} MB at the peak",
            self.load.wall_seconds,
            self.load.cpu_seconds,
            megabytes(*before_load_bytes),
            megabytes(*after_load_bytes),
            megabytes(*load_peak_bytes),
        )?;
        let pinned = if self.pinned { ", threads bound to CPUs" } else { "" };
        writeln!(f, "sound: {}{pinned}\n", self.sound)?;
        self.write_segments(f)?;
        pipeline::write(&self.pipeline, f)?;
        self.profile.iter().try_for_each(|profile| profile.fmt(f))
    }
}

impl Report {
    /// Writes the table of segments.
    fn write_segments(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8}{:>9}{:>9}{:>14}{:>10}{:>10}{:>10}{:>11}{:>10}",
            "seconds", "threads", "RTF", "audio s per", "wall ms", "p95 ms", "CPU ms", "memory", ""
        )?;
        writeln!(
            f,
            "{:>8}{:>9}{:>9}{:>14}{:>10}{:>10}{:>10}{:>11}{:>10}",
            "", "", "", "core-second", "median", "", "median", "MB", "speed-up"
        )?;
        for row in &self.segments {
            writeln!(
                f,
                "{:>8}{:>9}{:>9.4}{:>14.1}{:>10.1}{:>10.1}{:>10.1}{:>11}{:>10}",
                row.seconds,
                row.threads,
                row.real_time_factor,
                row.audio_seconds_per_core_second,
                row.wall_ms,
                row.wall_p95_ms,
                row.cpu_ms,
                megabytes(row.peak_bytes),
                row.speed_up.map(|factor| format!("{factor:.2}")).unwrap_or_default(),
            )?;
        }
        for row in &self.threads {
            if let Some(bytes) = row.bytes_per_extra {
                let megabytes = megabytes(Some(bytes));
                writeln!(f, "{} threads: {megabytes} MB for each additional thread", row.threads)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_memory_with_the_fewest_threads() {
        let threads =
            |threads, peak_bytes| ThreadsMemory { threads, peak_bytes, bytes_per_extra: None };
        let mut report = Report {
            version: "0",
            machine: Machine::measure().unwrap(),
            model: Model {
                name: "m".to_owned(),
                family: "fake",
                precision: "int8",
                directory: "/m".to_owned(),
                digest: String::new(),
            },
            sound: "generated".to_owned(),
            pinned: false,
            load: LoadTimes { wall_seconds: 1.0, cpu_seconds: 0.5 },
            memory: MemoryUse {
                before_load_bytes: Some(1_000_000),
                after_load_bytes: None,
                load_peak_bytes: None,
            },
            segments: Vec::new(),
            threads: vec![threads(1, Some(100)), threads(2, Some(130)), threads(4, None)],
            pipeline: Vec::new(),
            profile: None,
        };
        report.compare_threads();
        let extra: Vec<_> = report.threads.iter().map(|row| row.bytes_per_extra).collect();
        assert_eq!(extra, [None, Some(30), None]);
        let text = report.to_string();
        assert!(text.contains("memory 1 MB before, ? MB after"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert!(json["machine"]["peak"]["int8"]["products_per_second"].as_f64().unwrap() > 1e6);
        assert_eq!(json["threads"][1]["bytes_per_extra"], 30);
        assert!(json.get("profile").is_none());
    }
}
