use std::{fmt::Write, path::PathBuf};

use models::{Entry, Error, Library, Preset};
use serde_json::json;
use speech::speakers::SpeakerEncoder;

use crate::{
    args::{ModelsArgs, ModelsCommand},
    commands::{print_json, print_line},
    config::Config,
    exit, loading, wiring,
};

pub(crate) async fn run(config: &Config, args: ModelsArgs) -> anyhow::Result<u8> {
    let library = wiring::library(config)?;
    match args.command {
        ModelsCommand::List { json } => list(&library, json),
        ModelsCommand::Pull { names } => {
            for name in to_pull(config, &library, names) {
                let entry = library.catalogue().get(&name)?;
                let directory = wiring::pull(&library, entry).await?;
                print_line(&format!("{name}\t{}", directory.path.display()))?;
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
            let converted = models::convert(&directory)?;
            // The first opening checks that the weights fit the network.
            SpeakerEncoder::open(&directory, &model)?;
            print_line(&converted.display().to_string())?;
            Ok(exit::SUCCESS)
        }
    }
}

/// The models of the presets and models named, each once; without names, those that are used when
/// nothing else is asked for.
fn to_pull(config: &Config, library: &Library, names: Vec<String>) -> Vec<String> {
    // A preset of another name than its recognizer's stands for all its models; a recognizer is a
    // preset of itself, and comes with the VAD.
    let named = |name: &String| match library.catalogue().preset(name) {
        Some(preset) => models_of(&preset),
        None => vec![name.clone()],
    };
    let mut models: Vec<String> = if names.is_empty() {
        let recognizers = std::iter::once(&config.models.recognizer).chain(&config.models.also);
        let used = recognizers.flat_map(|name| models_of(&loading::preset(config, library, name)));
        // Directories that are there need no pull, and have no source.
        let to_be_had =
            |name: &String| library.catalogue().get(name).is_ok() || library.open(name).is_err();
        used.filter(to_be_had).collect()
    } else {
        names.iter().flat_map(named).collect()
    };
    let mut seen = std::collections::HashSet::new();
    models.retain(|name| seen.insert(name.clone()));
    models
}

fn models_of(preset: &Preset) -> Vec<String> {
    preset.models().into_iter().map(str::to_owned).collect()
}

/// Looks at a directory, installed or not; one that cannot be used is a failure.
fn inspect(library: &Library, model: &str, json: bool) -> anyhow::Result<u8> {
    let inspection = models::inspect(&directory_of(library, model)?)?;
    if json {
        print_json(&inspection)?;
    } else {
        print_line(inspection.to_string().trim_end())?;
    }
    Ok(if inspection.is_usable() { exit::SUCCESS } else { exit::FAILURE })
}

/// Returns the directory that `model` names, as [`Library::open`] finds it, but does not check it.
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
    print_line(table.trim_end())?;
    Ok(exit::SUCCESS)
}

fn verify(library: &Library, names: &[String]) -> anyhow::Result<u8> {
    let catalogue = library.catalogue();
    let entries = if names.is_empty() {
        // Not those that open: the damaged ones are what this is for.
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
