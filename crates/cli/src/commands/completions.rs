//! `scriptorium completions`: prints a shell completion script.

use crate::{UsageError, args::CompletionsArgs, commands::print_text, completion, exit};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let shell = args.shell.to_string();
    let script = completion::script(&shell)?
        .ok_or_else(|| UsageError(format!("there are no completions for {shell}")))?;
    print_text(String::from_utf8_lossy(&script).trim_end())?;
    Ok(exit::SUCCESS)
}
