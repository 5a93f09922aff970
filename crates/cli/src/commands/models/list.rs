//! `scriptorium models list`: which model to take for what.

use std::fmt::Write;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use models::{
    Catalogue, DEFAULT_RECOGNIZER, DEFAULT_SPEAKER_SEGMENTATION, DEFAULT_SPEAKERS, DEFAULT_VAD,
    Entry, Library, Measured, Role,
};
use serde_json::json;

use crate::{
    commands::{print_json, print_text},
    exit,
};

/// Narrower terminals get a list in place of a table: the columns of numbers alone take 70 characters.
const NARROWEST_TABLE: u16 = 100;
/// Spaces between two columns.
const GAP: u16 = 2;

pub(super) fn run(library: &Library, as_json: bool) -> anyhow::Result<u8> {
    let catalogue = library.catalogue();
    let is_installed = |entry: &Entry| library.open(&entry.name).is_ok();
    if as_json {
        let models =
            catalogue.models.iter().map(|entry| json(catalogue, entry, is_installed(entry)));
        print_json(&models.collect::<Vec<_>>())?;
    } else {
        print_text(text(catalogue, is_installed, width()).trim_end())?;
    }
    Ok(exit::SUCCESS)
}

fn json(catalogue: &Catalogue, entry: &Entry, is_installed: bool) -> serde_json::Value {
    json!({
        "name": entry.name,
        "family": entry.family,
        "licence": entry.licence,
        "languages": entry.languages,
        "size": entry.size(),
        "description": entry.description,
        "for": entry.purpose,
        "default": is_default(entry),
        "installed": is_installed,
        "measured": entry.measured,
        "measurement": entry.measured.and(catalogue.measurement.as_ref()),
    })
}

fn is_default(entry: &Entry) -> bool {
    [DEFAULT_RECOGNIZER, DEFAULT_VAD].contains(&entry.name.as_str())
}

/// Returns the columns of the terminal, or those that `COLUMNS` states; `None`: lines may have any length.
fn width() -> Option<u16> {
    let stated = || std::env::var("COLUMNS").ok()?.parse().ok();
    let terminal = terminal_size::terminal_size_of(std::io::stdout());
    terminal.map(|(width, _)| width.0).or_else(stated).filter(|width| *width > 0)
}

/// Returns the tables of recognizers, other models and presets, or lists if there is no room for tables.
fn text(
    catalogue: &Catalogue,
    is_installed: impl Fn(&Entry) -> bool,
    width: Option<u16>,
) -> String {
    let is_narrow = width.is_some_and(|width| width < NARROWEST_TABLE);
    let (recognizers, others): (Vec<_>, Vec<_>) =
        catalogue.models.iter().partition(|entry| entry.family.role() == Role::Recognizer);
    let name = |entry: &Entry| {
        let mark = if is_installed(entry) { "*" } else { " " };
        format!("{mark} {}", entry.name)
    };
    let mut text = String::new();
    if is_narrow {
        for entry in catalogue.models.iter() {
            let figures = entry.measured.map_or_else(String::new, |measured| {
                let [wrong, speed, memory] = figures(measured);
                format!("{wrong} of 100 words wrong, speed {speed}, {memory}; ")
            });
            let facts = format!("{figures}{}, {}", size(entry), entry.licence);
            text.push_str(&record(&name(entry), &[&entry.purpose, &facts], width));
        }
    } else {
        let rows = recognizers.iter().map(|entry| {
            let [wrong, speed, memory] =
                entry.measured.map_or_else(|| ["-"; 3].map(str::to_owned), figures);
            let licence = entry.licence.clone();
            vec![name(entry), entry.purpose.clone(), wrong, speed, memory, size(entry), licence]
        });
        let header = ["  RECOGNIZER", "FOR", "WRONG", "SPEED", "MEMORY", "SIZE", "LICENCE"];
        text.push_str(&table(&header, rows, 1, &[2, 3, 4, 5], width));
        let rows = others.iter().map(|entry| {
            vec![name(entry), entry.purpose.clone(), size(entry), entry.licence.clone()]
        });
        text.push('\n');
        text.push_str(&table(&["  OTHER MODEL", "FOR", "SIZE", "LICENCE"], rows, 1, &[2], width));
    }
    text.push('\n');
    let with = |preset: &models::Preset| preset.models()[1..].join(", ");
    if is_narrow {
        for preset in &catalogue.presets {
            let models = format!("preset: {} with {}", preset.recognizer, with(preset));
            text.push_str(&record(
                &format!("  {}", preset.name),
                &[&preset.description, &models],
                width,
            ));
        }
    } else {
        let rows = catalogue.presets.iter().map(|preset| {
            let name = format!("  {}", preset.name);
            vec![name, preset.recognizer.clone(), with(preset)]
        });
        text.push_str(&table(&["  PRESET", "RECOGNIZER", "WITH"], rows, 2, &[], width));
    }
    text.push('\n');
    for note in notes(catalogue) {
        let table = table(&[], [vec![note]].into_iter(), 0, &[], width);
        let _ = writeln!(text, "{}", table.trim_end());
    }
    text
}

/// Returns what the marks and figures mean.
fn notes(catalogue: &Catalogue) -> Vec<String> {
    let mut notes = vec![format!(
        "* installed. Defaults: {DEFAULT_RECOGNIZER} and {DEFAULT_VAD}. A recognizer is a preset of itself; \
         --speakers takes {DEFAULT_SPEAKERS} and {DEFAULT_SPEAKER_SEGMENTATION} where the preset has none."
    )];
    if let Some(measurement) = &catalogue.measurement {
        notes.push(format!(
            "WRONG: of 100 words. SPEED: seconds of audio per core-second. MEMORY: of a process with one \
             thread. Measured with {} on {}, {}: {}. -: not measured.",
            measurement.command, measurement.cpu, measurement.date, measurement.conditions
        ));
    }
    notes
}

/// Returns wrong words, speed and memory.
fn figures(measured: Measured) -> [String; 3] {
    let Measured { wrong_words_percent, audio_seconds_per_core_second, memory_mb } = measured;
    [
        format!("{wrong_words_percent:.1}"),
        format!("{audio_seconds_per_core_second:.0}"),
        format!("{memory_mb} MB"),
    ]
}

fn size(entry: &Entry) -> String {
    entry.size().map_or_else(|| "?".to_owned(), |bytes| format!("{} MB", bytes.div_ceil(1_000_000)))
}

/// Returns an aligned table. The texts in the column `wrapped` are wrapped to fit the width; names and numbers
/// in the others stay whole. The numbers in the columns `right` are aligned to the right.
fn table(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    wrapped: usize,
    right: &[usize],
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table.add_rows(rows);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP }));
        if index != wrapped {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Returns a name with texts below it, wrapped.
fn record(name: &str, texts: &[&str], width: Option<u16>) -> String {
    let rows = texts.iter().filter(|text| !text.is_empty());
    let rows = rows.map(|text| vec!["   ".to_owned(), (*text).to_owned()]);
    format!("{name}\n{}", table(&[], rows, 1, &[], width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(width: Option<u16>) -> String {
        text(&Catalogue::builtin(), |entry| entry.name == "fsmn-vad", width)
    }

    #[test]
    fn fits_every_width_and_leaves_nothing_out() {
        let catalogue = Catalogue::builtin();
        for width in [45, 60, 80, 99, 100, 120, 200] {
            let text = listed(Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= usize::from(width), "{width}: {longest}\n{text}");
            for name in catalogue.models.iter().map(|entry| &entry.name) {
                assert!(text.contains(name.as_str()), "{width}: {name}\n{text}");
            }
        }
    }

    #[test]
    fn marks_what_is_installed_and_states_only_what_was_measured() {
        let text = listed(None);
        let is_of =
            |line: &str, name: &str| line.get(2..).is_some_and(|text| text.starts_with(name));
        let line = |name: &str| text.lines().find(|line| is_of(line, name)).unwrap();
        assert!(line("fsmn-vad").starts_with('*'), "{text}");
        assert!(line("whisper-base ").starts_with(' '), "{text}");
        let measured = Catalogue::builtin().get("whisper-base").unwrap().measured.unwrap();
        for figure in figures(measured) {
            assert!(line("whisper-base ").contains(&figure), "{text}");
        }
        assert_eq!(line("whisper-medium.en").matches(" - ").count(), 3, "{text}");
    }

    /// Columns start at the same place in every line.
    #[test]
    fn is_aligned() {
        for width in [None, Some(120)] {
            let text = listed(width);
            let mut lines = text.lines();
            let header = lines.next().unwrap();
            let column = header.find("FOR").unwrap();
            for line in lines.take_while(|line| !line.is_empty()) {
                let before = line.chars().take(column).last();
                assert_eq!(before, Some(' '), "{width:?}: {line}\n{text}");
            }
        }
    }
}
