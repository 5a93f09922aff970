//! `scriptorium man`: prints a manual page, or writes them all.

use std::{fs, path::Path};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    UsageError,
    args::{Arguments, ManArgs},
    commands::print_text,
    exit,
};

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<u8> {
    // Without the command `help`, which would have a page for each command again.
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    match &args.out {
        Some(folder) => write_all(&root, folder)?,
        None => {
            let page = page(find(&root, &args.command)?)?;
            print_text(String::from_utf8_lossy(&page).trim_end())?;
        }
    }
    Ok(exit::SUCCESS)
}

fn find<'a>(root: &'a Command, names: &[String]) -> Result<&'a Command, UsageError> {
    names.iter().try_fold(root, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            UsageError(format!(
                "there is no command `{} {name}`",
                command.get_bin_name().unwrap_or("")
            ))
        })
    })
}

fn write_all(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(Man::new(command.clone()).get_filename());
    fs::write(&path, page(command)?).with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().try_for_each(|command| write_all(command, folder))
}

/// Renders one page. It is the page of [`Man::render`], but for the text after the options: its examples
/// get a section of their own, as is usual.
fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let source = concat!("scriptorium ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Scriptorium");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        notes_and_examples(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// Renders the text after the options: notes, if there are any, then a list of examples.
fn notes_and_examples(text: &str) -> Roff {
    let mut roff = Roff::new();
    let (notes, examples) =
        match text.split_once("Examples:\n").or_else(|| text.split_once("Example:\n")) {
            Some((notes, examples)) => (notes.trim(), examples),
            None => (text.trim(), ""),
        };
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]).text([roman(notes)]);
    }
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        // Without filling, so that each example keeps its line.
        roff.control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line.trim())]);
        }
        roff.control("fi", []);
    }
    roff
}
