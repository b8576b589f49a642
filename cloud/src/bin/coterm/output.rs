//! What a command prints: a table for people; JSON, JSON lines or CSV for programs. Answers go to standard output,
//! everything that is said beside them to standard error.

use crate::failure::{Exit, Failure};
pub(crate) use crate::table::Column;
use crate::table::{block, cell, csv, table};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

/// How the answer is printed
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// How to print: for people, or the server's answer for programs
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// How a page is printed
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PageArgs {
    /// How to print: for people, or the server's answer for programs
    #[arg(short = 'o', long = "output", value_enum, default_value_t = PageFormat::Text, value_name = "FORMAT")]
    format: PageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; as wide as the terminal
    Table,
    /// The server's answer
    Json,
    /// One JSON object a line
    Jsonl,
    /// For spreadsheets: the columns of the table, values raw
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PageFormat {
    /// For people
    #[value(alias = "table")]
    Text,
    /// The server's answer
    Json,
}

/// Prints a list.
pub(crate) fn list(output: OutputArgs, columns: &[Column], items: Vec<Value>) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(&serde_json::json!({ "items": items })),
        Format::Jsonl => items.iter().try_for_each(|item| print(&item.to_string())),
        Format::Csv => print(csv(columns, &items)?.trim_end()),
        Format::Table => {
            print(&table(columns, &items, width()))?;
            if items.is_empty() {
                note("(none)");
            }
            Ok(())
        }
    }
}

/// Prints one thing: every column on a line of its own.
pub(crate) fn one(output: OutputArgs, columns: &[Column], item: &Value) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(item),
        Format::Jsonl => print(&item.to_string()),
        Format::Csv => print(csv(columns, std::slice::from_ref(item))?.trim_end()),
        Format::Table => print(&block(columns, item)),
    }
}

/// Prints what a change would do: `text` for people.
pub(crate) fn preview(output: OutputArgs, text: &str, item: &Value) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(item),
        Format::Jsonl => print(&item.to_string()),
        Format::Table => print(text),
        Format::Csv => Err(Failure::new(
            Exit::Invalid,
            "NO_CSV: nothing was changed; a preview is no table.\n  Use -o table, json or jsonl with --dry-run.",
        )),
    }
}

/// Prints what the server wrote as a page, in its field `text`.
pub(crate) fn page(output: PageArgs, item: &Value) -> Result<(), Failure> {
    match output.format {
        PageFormat::Json => json(item),
        PageFormat::Text => {
            let lines = item.get("text").and_then(Value::as_array).into_iter().flatten();
            print(&lines.filter(|line| line.is_string()).map(cell).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Prints JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::internal)?)
}

/// Prints text and ends the line. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::internal),
    }
}

/// Says something beside the answer. If nobody can hear it, that is no failure.
pub(crate) fn note(text: impl Display) {
    let _unheard = writeln!(std::io::stderr().lock(), "{text}");
}

/// How wide the terminal is; `None` if standard output is none.
fn width() -> Option<u16> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// Whether what goes to standard error may be colored: a terminal, and nobody said no (`NO_COLOR`, `TERM=dumb`).
pub(crate) fn colors() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Text in bold and this color (of SGR) if standard error may be colored.
pub(crate) fn paint(color: u8, text: &str) -> String {
    if colors() { format!("\u{1b}[1;{color}m{text}\u{1b}[0m") } else { text.to_owned() }
}
