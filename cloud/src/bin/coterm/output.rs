//! What a command prints: a table for people or JSON for programs.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::{ErrorKind, Write};

/// How the answer is printed
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// table: for people; json: the server's answer, for programs
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// A column: its title and the JSON pointer of its values.
pub(crate) type Column = (&'static str, &'static str);

/// Prints a list.
pub(crate) fn list(output: OutputArgs, columns: &[Column], items: Vec<Value>) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(&serde_json::json!({ "items": items })),
        Format::Table => print(&table(columns, &items)),
    }
}

/// Prints one thing: every column on a line of its own.
pub(crate) fn one(output: OutputArgs, columns: &[Column], item: &Value) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(item),
        Format::Table => {
            let width = columns.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
            let lines: Vec<String> = columns
                .iter()
                .filter_map(|(title, pointer)| Some((title, item.pointer(pointer)?)))
                .filter(|(_, value)| !value.is_null())
                .map(|(title, value)| format!("{title:width$}  {}", cell(value)))
                .collect();
            print(&lines.join("\n"))
        }
    }
}

/// Prints what the server wrote as a page, in its field `text`.
pub(crate) fn page(output: OutputArgs, item: &Value) -> Result<(), Failure> {
    match output.format {
        Format::Json => json(item),
        Format::Table => {
            let lines = item.get("text").and_then(Value::as_array).into_iter().flatten();
            print(&lines.filter(|line| line.is_string()).map(cell).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Prints JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::internal)?)
}

/// A table without color and without frames that a terminal could break.
pub(crate) fn table(columns: &[Column], items: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for item in items {
        table.add_row(columns.iter().map(|(_, pointer)| item.pointer(pointer).map(cell).unwrap_or_default()));
    }
    let lines = table.lines();
    let flush = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    flush.collect::<Vec<_>>().join("\n")
}

/// A value in a cell. Control characters are not printed: what someone named a site must not drive the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::from("-"),
        Value::String(text) => text.clone(),
        Value::Bool(true) => String::from("yes"),
        Value::Bool(false) => String::from("no"),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => String::from("-"),
        Value::Array(values) => values.iter().map(brief).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => String::from("-"),
        Value::Object(_) => brief(value),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value inside another: a finding as its code and sentence, a line as its quantity and product, any other object as
/// pairs of name and value.
fn brief(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            match (map.get("code"), map.get("sentence"), map.get("quantity"), map.get("product")) {
                (Some(code), Some(sentence), _, _) => format!("{} ({})", brief(code), brief(sentence)),
                (_, _, Some(quantity), Some(product)) => format!("{} {}", brief(quantity), brief(product)),
                _ => {
                    let pairs =
                        map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k} {}", brief(v)));
                    pairs.collect::<Vec<_>>().join(" ")
                }
            }
        }
        Value::Array(values) => format!("[{}]", values.iter().map(brief).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => cell(value),
    }
}

/// Prints text and ends the line. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_is_there_and_nothing_that_drives_a_terminal() {
        let items =
            [serde_json::json!({"id": "a", "n": {"x": 1}, "name": "b\u{1b}[31m"}), serde_json::json!({})];
        let text = table(&[("ID", "/id"), ("N", "/n/x"), ("NAME", "/name")], &items);
        assert!(text.contains("ID") && text.contains("b [31m"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
