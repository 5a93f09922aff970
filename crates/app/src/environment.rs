//! The environment variables that Scriptorium reads.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use crate::ConfigError;

/// Prefix of the variables that set a configuration key: `SCRIPTORIUM__SECTION__KEY`.
pub(crate) const KEY_PREFIX: &str = "SCRIPTORIUM__";
/// Variable that selects the instruction sets of the kernels.
pub(crate) const KERNELS: &str = "SCRIPTORIUM_KERNELS";

/// Returns the requested instruction set, if the variable is set and not empty.
pub(crate) fn requested_kernels() -> Option<String> {
    let requested = env::var_os(KERNELS).filter(|value| !value.is_empty())?;
    Some(requested.to_string_lossy().into_owned())
}

/// Returns the variables that set configuration keys.
pub(crate) fn configuration_variables() -> Result<Vec<(String, String)>, ConfigError> {
    texts(env::vars_os())
}

/// Keeps the variables that begin with [`KEY_PREFIX`]. Variables of other programs need not be
/// UTF-8.
fn texts(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let text = |value: &OsStr, name: &OsStr, part: &str| {
        value.to_str().map(str::to_owned).ok_or_else(|| {
            let name = name.display();
            ConfigError::new(format!("environment variable {name}: its {part} is not UTF-8"))
        })
    };
    variables
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(KEY_PREFIX.as_bytes()))
        .map(|(name, value)| {
            let value = text(&value, &name, "value")?;
            Ok((text(&name, &name, "name")?, value))
        })
        .collect()
}

/// Returns the path of a program in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories)
        // A relative directory would depend on where this program was started.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Returns whether a proxy is set, as curl and others read it.
pub(crate) fn has_proxy() -> bool {
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_lowercase()])
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Returns the system's directory for temporary files.
pub(crate) fn temporary_directory() -> PathBuf {
    env::temp_dir()
}

/// Returns `$XDG_CONFIG_HOME/scriptorium`, by default `~/.config/scriptorium`.
pub(crate) fn config_directory() -> PathBuf {
    directory("XDG_CONFIG_HOME", ".config")
}

/// Returns `$XDG_DATA_HOME/scriptorium`, by default `~/.local/share/scriptorium`.
pub(crate) fn data_directory() -> PathBuf {
    directory("XDG_DATA_HOME", ".local/share")
}

/// Returns `$XDG_STATE_HOME/scriptorium`, by default `~/.local/state/scriptorium`.
pub fn state_directory() -> PathBuf {
    directory("XDG_STATE_HOME", ".local/state")
}

fn directory(variable: &str, fallback: &str) -> PathBuf {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    set.unwrap_or_else(|| home().join(fallback)).join("scriptorium")
}
