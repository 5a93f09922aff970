//! `scriptorium models`: lists, pulls, verifies and inspects models.

use std::{collections::HashSet, fmt::Write, iter, path::PathBuf};

use app::Config;
use errors::printable;
use models::{Entry, Error, Library, Preset};
use serde_json::json;

use crate::{
    args::{ModelsArgs, ModelsCommand},
    commands::{print_json, print_line, print_text},
    exit,
    progress::download_bar,
};

pub(crate) async fn run(config: &Config, args: ModelsArgs) -> anyhow::Result<u8> {
    let library = app::library(config)?;
    match args.command {
        ModelsCommand::List { json } => list(&library, json),
        ModelsCommand::Pull { names } => {
            for name in to_pull(config, &library, names) {
                let entry = library.catalogue().get(&name)?;
                let directory = app::pull(&library, entry, &download_bar()).await?;
                let path = directory.path.display().to_string();
                print_text(&format!("{}\t{}", printable(&name), printable(&path)))?;
            }
            Ok(exit::SUCCESS)
        }
        ModelsCommand::Verify { names } => verify(&library, &names),
        ModelsCommand::Path { name } => {
            print_line(&library.open(&name)?.path.display().to_string())?;
            Ok(exit::SUCCESS)
        }
        ModelsCommand::Inspect { model, json } => inspect(&library, &model, json),
        ModelsCommand::Convert { model } => {
            let directory = directory_of(&library, &model)?;
            let converted = app::convert_model(&directory, &model)?;
            print_line(&converted.display().to_string())?;
            Ok(exit::SUCCESS)
        }
    }
}

/// Returns the models of the given presets and models, each once; without names, the models that
/// the configuration uses.
fn to_pull(config: &Config, library: &Library, names: Vec<String>) -> Vec<String> {
    // A preset stands for all of its models. A recognizer that no preset is named after is a preset
    // of itself and the VAD.
    let named = |name: &String| match library.catalogue().preset(name) {
        Some(preset) => models_of(&preset),
        None => vec![name.clone()],
    };
    let mut models: Vec<String> = if names.is_empty() {
        let recognizers = iter::once(&config.models.recognizer).chain(&config.models.also);
        let used = recognizers.flat_map(|name| models_of(&app::preset(config, library, name)));
        // Existing directories outside of the catalogue have no source, and need no pull.
        let in_catalogue_or_missing =
            |name: &String| library.catalogue().get(name).is_ok() || library.open(name).is_err();
        used.filter(in_catalogue_or_missing).collect()
    } else {
        names.iter().flat_map(named).collect()
    };
    let mut seen = HashSet::new();
    models.retain(|name| seen.insert(name.clone()));
    models
}

fn models_of(preset: &Preset) -> Vec<String> {
    preset.models().into_iter().map(str::to_owned).collect()
}

/// Describes a model directory, installed or not. The exit code tells whether it is usable.
fn inspect(library: &Library, model: &str, json: bool) -> anyhow::Result<u8> {
    let inspection = models::inspect(&directory_of(library, model)?)?;
    if json {
        print_json(&inspection)?;
    } else {
        print_text(inspection.to_string().trim_end())?;
    }
    Ok(if inspection.is_usable() { exit::SUCCESS } else { exit::FAILURE })
}

/// Returns the directory that [`Library::open`] would open for `model`, even if it is damaged.
fn directory_of(library: &Library, model: &str) -> Result<PathBuf, Error> {
    if let Ok(entry) = library.catalogue().get(model) {
        let directory = library.directory(entry);
        let missing = || Error::NotInstalled { name: entry.name.clone() };
        return directory.is_dir().then_some(directory).ok_or_else(missing);
    }
    let is_name = !model.starts_with('.') && !model.contains(std::path::is_separator);
    let inside = library.root().join(model);
    Ok(if is_name && inside.is_dir() { inside } else { model.into() })
}

fn is_installed(library: &Library, entry: &Entry) -> bool {
    library.open(&entry.name).is_ok()
}

fn list(library: &Library, json: bool) -> anyhow::Result<u8> {
    let models = &library.catalogue().models;
    if json {
        let models = models.iter().map(|entry| {
            json!({
                "name": entry.name,
                "family": entry.family,
                "licence": entry.licence,
                "languages": entry.languages,
                "size": entry.size(),
                "description": entry.description,
                "installed": is_installed(library, entry),
            })
        });
        print_json(&models.collect::<Vec<_>>())?;
        return Ok(exit::SUCCESS);
    }
    let mut table = format!(
        "{:<24} {:>9}  {:<10} {:<10} DESCRIPTION\n",
        "NAME", "SIZE", "LICENCE", "INSTALLED"
    );
    for entry in models {
        let size = entry.size();
        let size = size.map_or_else(|| "?".to_owned(), |b| format!("{} MB", b.div_ceil(1_000_000)));
        let installed = if is_installed(library, entry) { "yes" } else { "" };
        writeln!(
            table,
            "{:<24} {size:>9}  {:<10} {installed:<10} {}",
            entry.name, entry.licence, entry.description
        )?;
    }
    writeln!(table, "\n{:<24} {:<24} WITH", "PRESET", "RECOGNIZER")?;
    for preset in &library.catalogue().presets {
        let with = preset.models()[1..].join(", ");
        writeln!(table, "{:<24} {:<24} {with}", preset.name, preset.recognizer)?;
    }
    print_text(table.trim_end())?;
    Ok(exit::SUCCESS)
}

fn verify(library: &Library, names: &[String]) -> anyhow::Result<u8> {
    let catalogue = library.catalogue();
    let entries = if names.is_empty() {
        // Every directory that exists: damaged models do not open, but must be checked.
        catalogue.models.iter().filter(|entry| library.directory(entry).is_dir()).collect()
    } else {
        names.iter().map(|name| catalogue.get(name)).collect::<Result<Vec<_>, Error>>()?
    };
    let mut code = exit::SUCCESS;
    for entry in entries {
        match library.verify(entry) {
            Ok(()) => print_line(&format!("{}: ok", entry.name))?,
            Err(error) => {
                print_line(&format!("{}: {:#}", entry.name, anyhow::Error::from(error)))?;
                code = exit::FAILURE;
            }
        }
    }
    Ok(code)
}
