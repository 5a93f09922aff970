use clap::CommandFactory;

use crate::{
    args::{Arguments, CompletionsArgs},
    exit, output,
};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "scriptorium", &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(exit::SUCCESS)
}
