//! Writes a profile in the Trace Event Format, which Perfetto and Chrome open
//! (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>).

use std::{collections::HashMap, io::Write, time::Duration};

use serde::Serialize;

use crate::profile::ProfiledSegment;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    display_time_unit: &'static str,
    trace_events: Vec<Event<'a>>,
}

/// Times in microseconds.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    /// `X`: a complete event with a duration; `M`: metadata, here the name of a track.
    ph: &'static str,
    cat: &'static str,
    pid: u32,
    tid: usize,
    ts: f64,
    dur: f64,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    args: HashMap<&'static str, serde_json::Value>,
}

/// Writes one track per thread. A track holds segments; a segment holds networks and the gaps
/// between them; a network holds operators.
pub(crate) fn write(mut out: impl Write, segments: &[ProfiledSegment]) -> anyhow::Result<()> {
    let mut tracks = HashMap::new();
    let mut events = Vec::new();
    for ProfiledSegment { thread, start, profile } in segments {
        let next = tracks.len() + 1;
        let tid = *tracks.entry(thread).or_insert_with(|| {
            let name = format!("compute-{}", next - 1).into();
            let args = HashMap::from([("name", name)]);
            events.push(Event { ph: "M", args, ..event("thread_name", next, *start, *start) });
            next
        });
        let (start, end) = (*start, *start + profile.time);
        events.push(event("segment", tid, start, end));
        let mut gap = ("before the networks", start);
        for run in &profile.runs {
            let (begun, ended) = (start + run.start, start + run.start + run.time);
            events.push(event(gap.0, tid, gap.1, begun));
            gap = ("between networks", ended);
            events.push(event("network", tid, begun, ended));
            for time in &run.operators {
                let begun = start + time.start;
                let mut args = HashMap::from([("node", time.name.clone().into())]);
                let products = time.macs.total();
                if products > 0 {
                    args.insert("products", products.into());
                    let speed = products as f64 / time.time.as_secs_f64().max(1e-9) / 1e9;
                    args.insert("GMAC/s", speed.into());
                }
                let cat = if time.generic { "tract" } else { "kernels" };
                events.push(Event {
                    cat,
                    args,
                    ..event(&time.operator, tid, begun, begun + time.time)
                });
            }
        }
        let after = if profile.runs.is_empty() { "no network" } else { "after the networks" };
        events.push(event(after, tid, gap.1, end));
    }
    let trace = Trace { display_time_unit: "ms", trace_events: events };
    serde_json::to_writer(&mut out, &trace)?;
    out.flush()?;
    Ok(())
}

fn event(name: &str, tid: usize, start: Duration, end: Duration) -> Event<'_> {
    Event {
        name,
        ph: "X",
        cat: "stage",
        pid: 1,
        tid,
        ts: 1e6 * start.as_secs_f64(),
        dur: 1e6 * end.saturating_sub(start).as_secs_f64(),
        args: HashMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::profiled_segment;

    #[test]
    fn events_lie_within_their_segment_on_the_track_of_its_thread() {
        let mut other = profiled_segment();
        other.thread = std::thread::spawn(|| std::thread::current().id()).join().unwrap();
        let mut bytes = Vec::new();
        write(&mut bytes, &[profiled_segment(), other]).unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        for tid in [1, 2] {
            let own: Vec<_> = events.iter().filter(|event| event["tid"] == tid).collect();
            let names: Vec<_> = own.iter().map(|event| event["name"].as_str().unwrap()).collect();
            let expected = [
                "thread_name",
                "segment",
                "before the networks",
                "network",
                "Linear",
                "Attention",
                "Linear",
                "Slice",
                "after the networks",
            ];
            assert_eq!(names, expected);
            for event in &own[1..] {
                let (start, length) =
                    (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
                assert!(start >= 5000.0 && start + length <= 15000.001, "{event}");
            }
            assert_eq!(own[4]["args"]["node"], "/node \"Linear\"");
            assert_eq!(own[4]["args"]["GMAC/s"], 0.5);
            assert_eq!((&own[4]["cat"], &own[7]["cat"]), (&"kernels".into(), &"tract".into()));
        }
    }
}
