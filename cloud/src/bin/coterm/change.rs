//! Changing something: previewed, shown, confirmed, applied to exactly what was shown.

use crate::client::{Answer, Client};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format, OutputArgs};
use clap::Args;
use serde_json::Value;
use std::io::{BufRead, IsTerminal, Write};
use ureq::http::Method;

/// How a change is confirmed
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ChangeArgs {
    /// Apply without asking (for scripts)
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Whether a person is asked before the change is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It may move a date, a capacity or a verdict.
    First,
    /// It moves none of them.
    No,
}

/// One change, as a request.
pub(crate) struct Change<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) ask: Ask,
}

impl Client {
    /// Does what `change` says, as `args` says. `None` if it was only to be shown, which then has been done.
    pub(crate) fn change(
        &self,
        change: &Change<'_>,
        args: ChangeArgs,
        output: OutputArgs,
    ) -> Result<Option<Answer>, Failure> {
        let body = change.body.as_ref();
        let mut seen = None;
        if args.dry_run || (change.ask == Ask::First && !args.yes) {
            let path = format!("{}?dry_run=true", change.path);
            let preview = self.send(change.method.clone(), &path, body, &[])?;
            if args.dry_run {
                match output.format {
                    Format::Json => output::json(&preview.body)?,
                    Format::Table => output::print(&describe(&preview.body))?,
                }
                return Ok(None);
            }
            eprintln!("{}", describe(&preview.body));
            confirm()?;
            seen = preview.etag;
        }
        let key = fresh_key()?;
        let mut headers = vec![("idempotency-key", key.as_str())];
        // What is applied is what was shown: if the books moved on meanwhile, the server says so.
        headers.extend(seen.as_deref().map(|etag| ("if-match", etag)));
        let first = self.send(change.method.clone(), change.path, body, &headers);
        match first {
            // The answer may have been lost after the change was made; the key makes asking again harmless.
            Err(failure) if failure.exit == Exit::Unavailable => {
                self.send(change.method.clone(), change.path, body, &headers).map(Some)
            }
            other => other.map(Some),
        }
    }
}

/// A name for one request, so that a repetition is recognised.
pub(crate) fn fresh_key() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(uuid::Uuid::from_bytes(bytes).simple().to_string())
}

fn confirm() -> Result<(), Failure> {
    let declined = |text: &str| Err(Failure::new(Exit::Declined, text));
    if !std::io::stdin().is_terminal() {
        return declined(
            "NOT_CONFIRMED: nothing was changed; there is nobody to ask, so pass --yes or --dry-run.",
        );
    }
    eprint!("Apply? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::internal)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        declined("NOT_CONFIRMED: nothing was changed.")
    }
}

/// A preview for people: every leaf of it that is not null, with what differs between before and after on one line.
fn describe(preview: &Value) -> String {
    let mut lines = vec![String::from("This would change:")];
    walk(preview, "", &mut lines);
    lines.join("\n")
}

fn walk(value: &Value, at: &str, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let (Some(before), Some(after)) = (map.get("before"), map.get("after")) {
                compare(before, after, at, lines);
            }
            for (name, value) in map.iter().filter(|(name, _)| !matches!(name.as_str(), "before" | "after")) {
                walk(value, &join(at, name), lines);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            if !items.is_empty() {
                lines.push(format!("  {at}: {}", items.iter().map(leaf).collect::<Vec<_>>().join(", ")));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map(str::to_owned);
                walk(item, &join(at, &name.unwrap_or_else(|| index.to_string())), lines);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("  {at}: {}", leaf(value)))
        }
    }
}

fn compare(before: &Value, after: &Value, at: &str, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (old, new) =
                    (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
                compare(old, new, &join(at, name), lines);
            }
        }
        _ => lines.push(format!("  {at}: {} -> {}", leaf(before), leaf(after))),
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at} / {name}") }
}

fn leaf(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::from("none"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_what_differs() {
        let preview = serde_json::json!({"groups": [{"name": "North",
            "before": {"coterm_at": null, "status": "compliant", "capacity": {"camera": 1}},
            "after": {"coterm_at": "2028-01-01T00:00:00Z", "status": "compliant", "capacity": {"camera": 3}}}],
            "notes": ["the term gets longer"]});
        assert_eq!(
            describe(&preview),
            "This would change:\n  groups / North / capacity / camera: 1 -> 3\n  groups / North / coterm_at: none -> \
             2028-01-01T00:00:00Z\n  notes: the term gets longer"
        );
    }
}
