use crate::{args::ConfigArgs, commands::print_json, config::Layered, exit};

/// Prints the effective configuration as TOML that could be used as a file, each value with its
/// origin.
pub(crate) fn run(layered: &Layered, args: &ConfigArgs) -> anyhow::Result<u8> {
    if args.json {
        let entries = layered.values.iter().map(|(key, (value, origin))| {
            (key.clone(), serde_json::json!({ "value": value, "origin": origin }))
        });
        print_json(&entries.collect::<serde_json::Map<_, _>>())?;
        return Ok(exit::SUCCESS);
    }
    let mut section = "";
    for (key, (value, origin)) in &layered.values {
        let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
        if parent != section {
            section = parent;
            super::print_line(&format!("\n[{section}]"))?;
        }
        // JSON scalars and lists of them are TOML, save null, which TOML leaves out.
        super::print_line(&match value {
            serde_json::Value::Null => format!("# {name} is not set"),
            value => format!("{name} = {value}  # {origin}"),
        })?;
    }
    Ok(exit::SUCCESS)
}
