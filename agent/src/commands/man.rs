//! `coterm-agent man`: the manual pages, made from the command line itself.
//!
//! They are read where people are, not on the device: an agent for devices is built without the feature `man`. The
//! pages of the other programs are made alike, but the agent shares no code with the cloud.

use super::print;
use crate::FAILED;
use crate::cli::{Cli, ENVIRONMENT, EXIT_STATUS};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use std::io;
use std::path::Path;

/// Writes a page for every command into this directory, or prints the page of the program itself.
pub(crate) fn man(out: Option<&Path>) -> u8 {
    let done = pages().and_then(|pages| match out {
        Some(dir) => write(&pages, dir),
        None => {
            Ok(pages.first().map(|(_, page)| String::from_utf8_lossy(page).into_owned()).unwrap_or_default())
        }
    });
    match done {
        Ok(text) => print(&text),
        Err(error) => {
            eprintln!("the manual cannot be written: {error}");
            FAILED
        }
    }
}

/// Every page by its name, the program's own first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    std::iter::once(&program).chain(program.get_subcommands()).map(page).collect()
}

fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone()).manual("Coterm").source("Coterm");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let statuses = EXIT_STATUS.iter().map(|(status, meaning)| (status.to_string(), *meaning));
    let environment = ENVIRONMENT.iter().map(|(name, meaning)| ((*name).to_owned(), *meaning));
    let mut notes = Roff::new();
    notes.control("SH", ["EXIT STATUS"]);
    statuses.for_each(|item| entry(&mut notes, item));
    notes.control("SH", ["ENVIRONMENT"]);
    environment.for_each(|item| entry(&mut notes, item));
    notes.to_writer(&mut page)?;
    Ok((name, page))
}

fn entry(roff: &mut Roff, (name, meaning): (String, &str)) {
    roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
}

fn write(pages: &[(String, Vec<u8>)], dir: &Path) -> io::Result<String> {
    std::fs::create_dir_all(dir)?;
    let mut written = String::new();
    for (name, page) in pages {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, page)?;
        written.push_str(&format!("{}\n", path.display()));
    }
    Ok(written)
}
