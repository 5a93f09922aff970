//! `scriptorium completions`: prints a shell completion script.

use clap::CommandFactory;

use crate::{
    args::{Arguments, CompletionsArgs},
    commands::print_text,
    exit,
};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "scriptorium", &mut script);
    print_text(String::from_utf8_lossy(&script).trim_end())?;
    Ok(exit::SUCCESS)
}
