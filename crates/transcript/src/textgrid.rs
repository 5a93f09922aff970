//! Renders a TextGrid of Praat in its long text format: a tier of segments and one of words for each voice.
//! <https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html>

use std::fmt::Write;

use crate::{
    Transcript, number,
    tiers::{Interval, Tier, tiers},
    timeline::milliseconds,
};

pub(crate) fn render(transcript: &Transcript) -> String {
    let tiers = tiers(transcript);
    let ends = tiers.iter().filter_map(|tier| tier.intervals.last()).map(|last| last.end);
    // Praat refuses what has no duration.
    let end = ends.max().unwrap_or(0).max(milliseconds(transcript.source.duration)).max(1);
    let mut grid = String::from("File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n");
    let mut line = |indent: usize, text: &str| {
        let _infallible = writeln!(grid, "{:indent$}{text}", "", indent = 4 * indent);
    };
    let bounds = |start: u64, end: u64| {
        [format!("xmin = {}", number::seconds(start)), format!("xmax = {}", number::seconds(end))]
    };
    bounds(0, end).iter().for_each(|bound| line(0, bound));
    line(0, "tiers? <exists>");
    line(0, &format!("size = {}", tiers.len()));
    line(0, "item []:");
    for (number, tier) in (1..).zip(&tiers) {
        let intervals = gapless(tier, end);
        line(1, &format!("item [{number}]:"));
        line(2, "class = \"IntervalTier\"");
        line(2, &format!("name = {}", quoted(&tier.name)));
        bounds(0, end).iter().for_each(|bound| line(2, bound));
        line(2, &format!("intervals: size = {}", intervals.len()));
        for (number, interval) in (1..).zip(&intervals) {
            line(2, &format!("intervals [{number}]:"));
            bounds(interval.start, interval.end).iter().for_each(|bound| line(3, bound));
            line(3, &format!("text = {}", quoted(&interval.text)));
        }
    }
    grid
}

/// Fills the pauses with empty intervals: the intervals of a tier cover all of its time.
fn gapless(tier: &Tier, end: u64) -> Vec<Interval> {
    let mut all = Vec::with_capacity(2 * tier.intervals.len() + 1);
    let mut last = 0;
    let empty = |start, end| Interval { start, end, text: String::new() };
    for interval in &tier.intervals {
        if interval.start > last {
            all.push(empty(last, interval.start));
        }
        all.push(interval.clone());
        last = interval.end;
    }
    if last < end {
        all.push(empty(last, end));
    }
    all
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
