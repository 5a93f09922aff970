//! `scriptorium models`: lists, pulls, verifies, removes and inspects models.

mod list;

use std::{collections::HashSet, iter, path::PathBuf};

use app::Config;
use errors::printable;
use models::{Error, Library, Preset};

use crate::{
    args::{ModelsArgs, ModelsCommand},
    commands::{print_json, print_line, print_text},
    exit,
    progress::download_bar,
};

pub(crate) async fn run(config: &Config, args: ModelsArgs) -> anyhow::Result<u8> {
    let library = app::library(config)?;
    match args.command {
        ModelsCommand::List { json } => list::run(&library, json),
        ModelsCommand::Pull { names } => {
            let names = to_pull(config, &library, names);
            // A misspelt name is an error before anything is pulled.
            names.iter().try_for_each(|name| library.catalogue().get(name).map(drop))?;
            for name in names {
                let entry = library.catalogue().get(&name)?;
                let directory = app::pull(&library, entry, &download_bar()).await?;
                let path = directory.path.display().to_string();
                print_text(&format!("{}\t{}", printable(&name), printable(&path)))?;
            }
            Ok(exit::SUCCESS)
        }
        ModelsCommand::Verify { names } => verify(&library, &names),
        ModelsCommand::Rm { names } => remove(&library, &names).await,
        ModelsCommand::Path { name } => {
            print_line(&library.open(&name)?.path.display().to_string())?;
            Ok(exit::SUCCESS)
        }
        ModelsCommand::Inspect { model, json } => inspect(&library, &model, json),
        ModelsCommand::Convert { model } => {
            let directory = directory_of(&library, &model)?;
            let converted = app::convert_model(&directory)?;
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

/// Removes models, and says what that frees.
async fn remove(library: &Library, names: &[String]) -> anyhow::Result<u8> {
    for name in names {
        let freed = library.remove(name).await?;
        print_line(&format!("{name}: removed, {} MB freed", freed.div_ceil(1_000_000)))?;
    }
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
