use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArgs};

pub(crate) fn run(args: &CompletionsArgs) {
    let mut command = Arguments::command();
    clap_complete::generate(args.shell, &mut command, "scriptorium", &mut std::io::stdout());
}
