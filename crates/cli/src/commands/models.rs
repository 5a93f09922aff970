use std::fmt::Write;

use models::{Entry, Error, Library};
use serde_json::json;

use crate::{
    args::{ModelsArgs, ModelsCommand},
    commands::{print_json, print_line},
    config::Config,
    exit, wiring,
};

pub(crate) async fn run(config: &Config, args: ModelsArgs) -> anyhow::Result<u8> {
    let library = wiring::library(config);
    match args.command {
        ModelsCommand::List { json } => list(&library, json),
        ModelsCommand::Pull { names } => {
            let names = if names.is_empty() {
                vec![config.models.vad.clone(), config.models.recognizer.clone()]
            } else {
                names
            };
            for name in names {
                let entry = library.catalogue().get(&name)?;
                let directory = wiring::pull(&library, entry).await?;
                print_line(&format!("{name}\t{}", directory.path.display()));
            }
            Ok(exit::SUCCESS)
        }
        ModelsCommand::Verify { names } => verify(&library, &names),
        ModelsCommand::Path { name } => {
            print_line(&library.open(&name)?.path.display().to_string());
            Ok(exit::SUCCESS)
        }
    }
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
        let size = format!("{} MB", entry.size().div_ceil(1_000_000));
        let installed = if is_installed(library, entry) { "yes" } else { "" };
        writeln!(
            table,
            "{:<24} {size:>9}  {:<10} {installed:<10} {}",
            entry.name, entry.licence, entry.description
        )?;
    }
    print_line(table.trim_end());
    Ok(exit::SUCCESS)
}

fn verify(library: &Library, names: &[String]) -> anyhow::Result<u8> {
    let catalogue = library.catalogue();
    let entries = if names.is_empty() {
        catalogue.models.iter().filter(|entry| is_installed(library, entry)).collect()
    } else {
        names.iter().map(|name| catalogue.get(name)).collect::<Result<Vec<_>, Error>>()?
    };
    let mut code = exit::SUCCESS;
    for entry in entries {
        match library.verify(entry) {
            Ok(()) => print_line(&format!("{}: ok", entry.name)),
            Err(error) => {
                print_line(&format!("{}: {error}", entry.name));
                code = exit::FAILURE;
            }
        }
    }
    Ok(code)
}
