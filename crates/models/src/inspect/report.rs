//! The inspection as text for people.

use std::fmt;

use super::Inspection;

/// Text for people; for programs, [`Inspection`] implements `Serialize`.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = self.variant.map_or(String::new(), |v| format!(" ({})", v.as_str()));
        let state = if self.is_usable() { "ready" } else { "not ready" };
        let layout = self.layout.as_str();
        writeln!(f, "{}: {}{variant}, {layout} layout, {state}", self.name, self.family)?;
        writeln!(f, "  path        {}", self.path.display())?;
        let formats: Vec<_> = self.weight_formats.iter().map(|format| format.as_str()).collect();
        let lines = [
            ("precision", formats.join(", ")),
            ("languages", self.languages.join(", ")),
            ("vocabulary", self.vocabulary.map_or(String::new(), |size| size.to_string())),
        ];
        for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(f, "  {label:<11} {value}")?;
        }
        let width = self.files.iter().map(|file| file.name.len()).max().unwrap_or_default();
        for (index, file) in self.files.iter().enumerate() {
            let label = if index == 0 { "files" } else { "" };
            let purpose = file.purpose.unwrap_or("not used");
            writeln!(f, "  {label:<11} {:<width$} {:>9}  {purpose}", file.name, bytes(file.size))?;
        }
        for (index, problem) in self.problems.iter().enumerate() {
            let label = if index == 0 { "problems" } else { "" };
            writeln!(f, "  {label:<11} {}: {}", problem.file, problem.message)?;
            writeln!(f, "  {:<11}   {}", "", problem.remedy)?;
        }
        Ok(())
    }
}

/// Formats a number of bytes with a decimal unit.
fn bytes(size: u64) -> String {
    match size {
        0..1000 => format!("{size} B"),
        1000..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size as f64 / 1e6),
        _ => format!("{:.2} GB", size as f64 / 1e9),
    }
}
