//! The configuration as a file: the commented example, and what is in force; both made from the table of fields.

use super::fields::{FIELDS, Field, FieldDefault, SECTIONS};
use super::layers::{Layers, Sources};
use super::{Config, ConfigFindings};
use config::ValueKind;
use std::fmt::Write as _;

/// A complete configuration file with every key, its default and what it is for.
///
/// Loading it changes nothing: keys with a default are set to it, the others are commented out.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of coterm-cloud. Every value below is the default: keep only what you change.\n\
         # Read in this order, later wins: this file, conf.d/*.toml beside it, environment variables\n\
         # (COTERM_CLOUD_HTTP__LISTEN), flags (--set http.listen=...).\n",
    );
    section(&mut text, "");
    for (name, doc) in SECTIONS {
        let _ = write!(text, "\n# {doc}\n[{name}]\n");
        section(&mut text, name);
    }
    text
}

/// The configuration in force as a file that loads to the same, each value with who set it.
///
/// # Errors
/// Everything that is wrong with it, as [`Config::load`].
pub fn in_force(sources: &Sources) -> Result<String, ConfigFindings> {
    Config::load(sources)?;
    let layers = Layers::read(sources, &mut Vec::new());
    let mut text = String::new();
    for name in std::iter::once("").chain(SECTIONS.iter().map(|(name, _)| *name)) {
        if !name.is_empty() {
            let _ = write!(text, "\n[{name}]\n");
        }
        for (key, field) in fields_of(name) {
            let Some((value, origin, line)) = layers.value(field.path) else { continue };
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let _ = writeln!(text, "{key} = {}  # {origin}{line}", literal(value, field));
        }
    }
    Ok(text)
}

/// The fields of a section, with their names in it.
fn fields_of(section: &str) -> impl Iterator<Item = (&'static str, &'static Field)> {
    FIELDS.iter().filter_map(move |field| {
        let (parent, key) = field.path.rsplit_once('.').unwrap_or(("", field.path));
        (parent == section).then_some((key, field))
    })
}

/// The value as TOML. Environment and command line have only texts: the field's own literal says what is meant.
fn literal(value: &ValueKind, field: &Field) -> String {
    let (FieldDefault::Literal(model) | FieldDefault::Unset(model)) = field.value;
    let quoted = |text: &str| toml_string(text.trim());
    match value {
        ValueKind::String(text) if model.starts_with('[') => {
            format!("[{}]", text.split(',').map(quoted).collect::<Vec<_>>().join(", "))
        }
        ValueKind::String(text) if model.starts_with('"') => toml_string(text),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::String(_)
        | ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)
        | ValueKind::Table(_) => value.to_string(),
    }
}

fn toml_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn section(text: &mut String, section: &str) {
    for (key, Field { value, doc, .. }) in fields_of(section) {
        text.push('\n');
        for line in doc.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let _ = match value {
            FieldDefault::Literal(literal) => writeln!(text, "{key} = {literal}"),
            FieldDefault::Unset(literal) => writeln!(text, "#{key} = {literal}"),
        };
    }
}
