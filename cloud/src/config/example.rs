//! The commented example of the configuration, made from the table of fields.

use super::fields::{FIELDS, Field, FieldDefault, SECTIONS};
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

fn section(text: &mut String, section: &str) {
    for Field { path, value, doc } in FIELDS {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        if parent != section {
            continue;
        }
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
