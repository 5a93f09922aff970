//! The text of `scriptorium --version`.

/// The version, as `-V` prints it after the name.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// Returns the version, where it comes from, and what the kernels run on, as `--version` prints it.
pub(crate) fn long() -> String {
    let (commit, target) = (env!("SCRIPTORIUM_COMMIT"), env!("SCRIPTORIUM_TARGET"));
    let chosen = match app::instruction_sets() {
        Ok(name) => name.to_owned(),
        Err(error) => format!("none: {:#}", anyhow::Error::from(error)),
    };
    let supported = app::supported_instruction_sets().join(", ");
    format!(
        "scriptorium {SHORT}\ncommit: {commit}\ntarget: {target}\ninstruction sets: {chosen} (this CPU has \
         {supported})"
    )
}
