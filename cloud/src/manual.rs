//! Manual pages of this crate's programs: one for each command, made from the command line itself.
//!
//! **Problem.** A page written by hand is wrong after the next option. **Method.** What clap knows is rendered by
//! `clap_mangen`; exit status and environment, which clap does not know, stand in every page, since a script is written
//! with one page open. **Deliberately absent:** dates of pages, so that the same source makes the same bytes.

use clap::{Args, Command};
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Print the manual page of a command, or write all pages into a directory
#[derive(Args, Clone, Debug)]
#[command(after_help = "To read one: coterm man key claim | man -l -")]
pub struct ManArgs {
    /// The command, such as `key claim`; the program itself if none is given
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write a page for every command into this directory, made if it is not there
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// What the pages of a program say besides what its command line knows.
#[derive(Clone, Copy, Debug)]
pub struct Notes<'a> {
    /// Exit statuses and what each means.
    pub exit_status: &'a [(u8, &'a str)],
    /// Environment variables that are heard, and for what.
    pub environment: &'a [(&'a str, &'a str)],
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The command with hyphens, such as `coterm-key-claim`.
    pub name: String,
    /// In the language of man pages.
    pub roff: Vec<u8>,
}

/// The pages of a program and of all its commands but the hidden ones.
///
/// # Errors
/// A page cannot be rendered.
pub fn pages(program: Command, notes: Notes<'_>) -> io::Result<Vec<Page>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add(&program, None, notes, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, parent: Option<&str>, notes: Notes<'_>, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone()).manual("Coterm").source("Coterm");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    let children = || command.get_subcommands().filter(|child| !child.is_hide_set());
    if children().next().is_some() {
        man.render_subcommands_section(&mut roff)?;
    }
    // The program's own notes are sections of their own.
    let after = parent.and(command.get_after_long_help().or_else(|| command.get_after_help()));
    if let Some(text) = after {
        let mut details = Roff::new();
        details.control("SH", ["NOTES"]).control("nf", []);
        for line in text.to_string().lines() {
            details.text([roman(line)]);
        }
        details.control("fi", []).to_writer(&mut roff)?;
    }
    let statuses = notes.exit_status.iter().map(|(status, meaning)| (status.to_string(), *meaning));
    section("EXIT STATUS", statuses).to_writer(&mut roff)?;
    let environment = notes.environment.iter().map(|(name, meaning)| ((*name).to_owned(), *meaning));
    section("ENVIRONMENT", environment).to_writer(&mut roff)?;
    let others = children().map(|child| child.get_display_name().unwrap_or_else(|| child.get_name()));
    let others: Vec<String> = parent.into_iter().chain(others).map(|other| format!("{other}(1)")).collect();
    if !others.is_empty() {
        let mut also = Roff::new();
        also.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
        also.to_writer(&mut roff)?;
    }
    pages.push(Page { name: name.clone(), roff });
    children().try_for_each(|child| add(child, Some(&name), notes, pages))
}

fn section(title: &str, items: impl Iterator<Item = (String, impl Into<String>)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, meaning) in items {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning.into())]);
    }
    roff
}

/// Does what `args` says: prints a page, or writes all of them and prints their paths. A reader that has seen enough is
/// no failure.
///
/// # Errors
/// There is no such command; the directory or a file cannot be written.
pub fn run(program: Command, notes: Notes<'_>, args: &ManArgs) -> io::Result<()> {
    let wanted = std::iter::once(program.get_name()).chain(args.command.iter().map(String::as_str));
    let wanted = wanted.collect::<Vec<_>>().join("-");
    let pages = pages(program, notes)?;
    let text = match &args.out {
        Some(dir) => write(&pages, dir)?.into_bytes(),
        None => match pages.into_iter().find(|page| page.name == wanted) {
            Some(page) => page.roff,
            None => {
                return Err(io::Error::new(ErrorKind::NotFound, format!("there is no command {wanted}")));
            }
        },
    };
    match io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn write(pages: &[Page], dir: &Path) -> io::Result<String> {
    let within =
        |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    std::fs::create_dir_all(dir).map_err(|error| within(dir, error))?;
    let mut written = String::new();
    for Page { name, roff } in pages {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, roff).map_err(|error| within(&path, error))?;
        written.push_str(&format!("{}\n", path.display()));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_exit_status_environment_and_its_neighbours() {
        let leaf = Command::new("claim").about("Claim").after_help("Example:\n  .x 'y'");
        let program = Command::new("p")
            .about("P")
            .after_help("not here")
            .subcommand(Command::new("key").about("Keys").subcommand(leaf))
            .subcommand(Command::new("secret").hide(true));
        let notes =
            Notes { exit_status: &[(0, "done"), (8, "declined")], environment: &[("P_URL", "where")] };
        let pages = pages(program, notes).unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        assert_eq!(names, ["p", "p-key", "p-key-claim"]);
        for page in &pages {
            let text = String::from_utf8(page.roff.clone()).unwrap();
            for part in ["EXIT STATUS", "declined", "ENVIRONMENT", "P_URL", "SEE ALSO"] {
                assert!(text.contains(part), "{}: {part}: {text}", page.name);
            }
            assert!(!text.contains("not here"));
        }
        let leaf = String::from_utf8(pages[2].roff.clone()).unwrap();
        assert!(leaf.contains("Example:") && leaf.contains("p\\-key(1)"), "{leaf}");
    }
}
