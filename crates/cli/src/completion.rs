//! What shells complete: the program itself answers when the variable `COMPLETE` is set, so that names of
//! models and presets are those that it knows.

use std::ffi::OsStr;

use clap::CommandFactory;
use clap_complete::{
    CompleteEnv,
    engine::{CompletionCandidate, PathCompleter, ValueCompleter},
    env::Shells,
};
use models::{Catalogue, Role};

use crate::args::Arguments;

/// Variable by which the scripts of `scriptorium completions` ask for candidates.
const VARIABLE: &str = "COMPLETE";
const NAME: &str = "scriptorium";

/// Answers a shell and ends the process, if a shell asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Arguments::command).var(VARIABLE).complete();
}

/// Returns the script by which a shell asks; `None` if nothing is known about a shell of this name.
pub(crate) fn script(shell: &str) -> std::io::Result<Option<Vec<u8>>> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else { return Ok(None) };
    let mut script = Vec::new();
    // The program is found by the PATH, as the user's own command is.
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(Some(script))
}

/// Names of models, with what they are for.
pub(crate) fn models() -> Vec<CompletionCandidate> {
    let models = Catalogue::builtin().models.into_iter();
    models.map(|entry| candidate(entry.name, entry.description)).collect()
}

/// Names of models and presets.
pub(crate) fn models_and_presets() -> Vec<CompletionCandidate> {
    let catalogue = Catalogue::builtin();
    let is_model = |name: &str| catalogue.get(name).is_ok();
    let presets = catalogue.presets.iter().filter(|preset| !is_model(&preset.name));
    let presets = presets.map(|preset| candidate(preset.name.clone(), preset.description.clone()));
    presets.chain(models()).collect()
}

/// Completes the value of an option that takes a model of a role, by name or by directory.
pub(crate) fn model_or_directory(role: Role) -> impl ValueCompleter {
    move |current: &OsStr| {
        let catalogue = Catalogue::builtin();
        let presets = (role == Role::Recognizer).then_some(&catalogue.presets);
        let presets = presets.into_iter().flatten();
        let names = presets.map(|preset| (preset.name.clone(), preset.description.clone()));
        let models = catalogue.models.iter().filter(|entry| entry.family.role() == role);
        let mut found: Vec<(String, String)> = names.collect();
        for entry in models {
            if found.iter().all(|(name, _)| *name != entry.name) {
                found.push((entry.name.clone(), entry.description.clone()));
            }
        }
        let start = current.to_string_lossy().into_owned();
        let names = found.into_iter().filter(|(name, _)| name.starts_with(&start));
        let names = names.map(|(name, description)| candidate(name, description));
        names.chain(PathCompleter::dir().complete(current)).collect()
    }
}

fn candidate(name: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(help.into()))
}
