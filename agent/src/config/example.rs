//! The commented example file, made from the table of keys so that it cannot be out of date.

use super::keys::{ACTUATOR, KEYS, Without};

/// An example configuration: required keys set, all others in comments with what holds without them.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Configuration of coterm-agent, printed by `coterm-agent config --example`.\n\
         # What is commented out shows what holds without it. Files in conf.d/ beside this one override it, and so do\n\
         # environment variables (COTERM_AGENT_BROKER__HOST=… sets broker.host) and `--set broker.host=…`.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let whole_section_optional = KEYS
                .iter()
                .filter(|other| other.section == section)
                .all(|other| matches!(other.without, Without::Absent(_)));
            // The header of a section nobody has to write is a comment like its keys.
            let comment = if whole_section_optional { "# " } else { "" };
            text.push('\n');
            if section == ACTUATOR {
                text.push_str(&format!("[[{section}]]\n"));
            } else {
                text.push_str(&format!("{comment}[{section}]\n"));
            }
        } else if key.section.is_empty() {
            text.push('\n');
        }
        for line in wrap(key.doc, 110) {
            text.push_str(&format!("## {line}\n"));
        }
        match key.without {
            Without::Required(value) => text.push_str(&format!("{} = {value}\n", key.name)),
            Without::Default(value) | Without::Absent(value) => {
                text.push_str(&format!("# {} = {value}\n", key.name));
            }
        }
    }
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + word.len() + 1 > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
