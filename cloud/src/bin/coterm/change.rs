//! Changing something: previewed, shown, confirmed, applied to exactly what was shown.

use crate::client::{Answer, Client};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format, OutputArgs};
use clap::Args;
use serde_json::Value;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use ureq::http::Method;

/// Before a request is repeated, once.
const PAUSE: Duration = Duration::from_secs(1);

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
            seen = seen_in(preview);
        }
        let key = fresh_key()?;
        let mut headers = vec![("idempotency-key", key.as_str())];
        // What is applied is what was shown: if any of it has changed meanwhile, the server says so.
        headers.extend(seen.as_ref().map(|(name, value)| (*name, value.as_str())));
        let first = self.send(change.method.clone(), change.path, body, &headers);
        match first {
            // The answer may have been lost after the change was made; the key makes asking again harmless.
            Err(failure) if failure.exit == Exit::Unavailable => {
                std::thread::sleep(PAUSE);
                self.send(change.method.clone(), change.path, body, &headers).map(Some)
            }
            other => other.map(Some),
        }
    }
}

/// The condition that what a preview showed is still so: its digest, which changes elsewhere do not touch, or else the
/// version of the whole organization.
fn seen_in(preview: Answer) -> Option<(&'static str, String)> {
    let digest = preview.body.get("digest").and_then(Value::as_str).map(str::to_owned);
    digest.map(|digest| ("preview-digest", digest)).or(preview.etag.map(|etag| ("if-match", etag)))
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

/// A preview for people: what to know first, every group whose figures would change, what differs in it, and what would be logged.
fn describe(preview: &Value) -> String {
    let none = Vec::new();
    let warnings = preview.get("warnings").and_then(Value::as_array).unwrap_or(&none);
    let mut lines: Vec<String> = warnings
        .iter()
        .filter_map(|warning| warning.get("sentence"))
        .map(|it| format!("* {}", leaf(it)))
        .collect();
    lines.push(String::from("This would change:"));
    let heading = lines.len();
    for group in preview.get("groups").and_then(Value::as_array).unwrap_or(&none) {
        let (before, after) = (group.get("before"), group.get("after"));
        let (before, after) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
        let name = leaf(group.get("name").unwrap_or(&Value::Null));
        match (before.is_null(), after.is_null()) {
            (true, _) => lines.push(format!("  group {name}, which is new")),
            (false, true) => lines.push(format!("  group {name}, which is deleted")),
            (false, false) if before == after => continue,
            (false, false) => {
                lines.push(format!("  group {name}{}", moved(before, after)));
                compare(before, after, "", &mut lines);
            }
        }
    }
    if lines.len() == heading {
        lines.push(String::from("  no group's dates, figures or compliance"));
    }
    let events = preview.get("events").and_then(Value::as_array).unwrap_or(&none);
    if !events.is_empty() {
        let names: Vec<String> = events.iter().map(leaf).collect();
        lines.push(format!("It would be logged as: {}", names.join(", ")));
    }
    lines.join("\n")
}

/// What happens to the co-termination date, in words. RFC 3339 in UTC sorts as text.
fn moved(before: &Value, after: &Value) -> &'static str {
    let at = |state: &Value| state.get("coterm_at").and_then(Value::as_str).map(str::to_owned);
    match (at(before), at(after)) {
        (Some(old), Some(new)) if new > old => ": its licenses end later",
        (Some(old), Some(new)) if new < old => ": its licenses end EARLIER",
        (None, Some(_)) => ": it gets its first license term",
        (Some(_) | None, _) => "",
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
            // The exact fraction is for programs.
            for name in names.into_iter().filter(|name| *name != "coterm_exact_secs") {
                let (old, new) =
                    (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
                compare(old, new, &join(at, name), lines);
            }
        }
        _ => lines.push(format!("    {at}: {} -> {}", leaf(before), leaf(after))),
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
        let preview = serde_json::json!({"version": 7,
            "warnings": [{"code": "DATE_LATER", "sentence": "North ends 365 days LATER."}], "groups": [
            {"name": "North",
                "before": {"coterm_at": "2027-01-01T00:00:00Z", "compliant": true, "capacity": {"camera": 1}},
                "after": {"coterm_at": "2028-01-01T00:00:00Z", "compliant": true, "capacity": {"camera": 3}}},
            {"name": "South", "before": {"coterm_at": null}, "after": {"coterm_at": null}},
            {"name": "West", "before": null, "after": {"coterm_at": null}}],
            "events": ["key-claimed"]});
        let expect = [
            "* North ends 365 days LATER.",
            "This would change:",
            "  group North: its licenses end later",
            "    capacity / camera: 1 -> 3",
            "    coterm_at: 2027-01-01T00:00:00Z -> 2028-01-01T00:00:00Z",
            "  group West, which is new",
            "It would be logged as: key-claimed",
        ];
        assert_eq!(describe(&preview), expect.join("\n"));
        let nothing = describe(&serde_json::json!({"groups": [], "events": []}));
        assert_eq!(nothing, "This would change:\n  no group's dates, figures or compliance");
    }
}
