//! `scriptorium config`: prints the effective configuration.

use app::config::LayeredConfig;

use crate::{
    args::ConfigArgs,
    commands::{print_json, print_line, print_text},
    exit,
};

/// Prints the effective configuration as TOML, which can serve as a configuration file, each value
/// with its origin.
pub(crate) fn run(layered: &LayeredConfig, args: &ConfigArgs) -> anyhow::Result<u8> {
    if args.json {
        let entries = layered.values.iter().map(|(key, (value, origin))| {
            (key.clone(), serde_json::json!({ "value": value, "origin": origin }))
        });
        print_json(&entries.collect::<serde_json::Map<_, _>>())?;
        return Ok(exit::SUCCESS);
    }
    // A section within another comes after it, or its keys would be in two places.
    let mut by_section: Vec<_> = layered
        .values
        .iter()
        .map(|(key, value)| (key.rsplit_once('.').unwrap_or(("", key)), value))
        .collect();
    by_section.sort_by_key(|(key, _)| *key);
    let mut section = "";
    for ((parent, name), (value, origin)) in by_section {
        if parent != section {
            section = parent;
            print_text(&format!("\n[{section}]"))?;
        }
        // JSON scalars and lists of them are valid TOML, except null.
        print_line(&match value {
            serde_json::Value::Null => format!("# {name} is not set"),
            value => format!("{name} = {value}  # {origin}"),
        })?;
    }
    Ok(exit::SUCCESS)
}
