//! A preview for people: what to know first, what differs in every group whose figures would change, and what would be
//! logged.

use crate::output::paint;
use crate::table::cell;
use serde_json::Value;

/// Yellow.
const CAUTION: u8 = 33;

/// The words for the figures of a group, in the order in which they are shown; the others follow under their own names.
const WORDS: &[(&str, &str)] = &[
    ("coterm_at", "co-term date"),
    ("compliant", "compliant"),
    ("findings", "findings"),
    ("state", "state"),
    ("capacity", "capacity"),
    ("in_use", "in use"),
    ("renewed_capacity", "capacity once renewed"),
    ("renewed_until", "renewed until"),
    ("schedule / grace_begins_at", "grace begins"),
    ("schedule / lock_at", "management locks"),
    ("schedule / stop_at", "devices stop"),
    ("early", "ahead of the rest"),
];

/// One figure that differs.
struct Difference {
    rank: usize,
    name: String,
    before: String,
    after: String,
}

/// The preview as text; colored for standard error if `colored`, where that may be.
pub(crate) fn describe(preview: &Value, colored: bool) -> String {
    let none = Vec::new();
    let list = |name: &str| preview.get(name).and_then(Value::as_array).unwrap_or(&none);
    let bullet = if colored { paint(CAUTION, "*") } else { String::from("*") };
    let mut lines: Vec<String> = list("warnings")
        .iter()
        .filter_map(|warning| warning.get("sentence"))
        .map(|sentence| format!("{bullet} {}", cell(sentence)))
        .collect();
    let warned = !lines.is_empty();
    let changes: Vec<String> = list("groups").iter().flat_map(group).collect();
    if !changes.is_empty() {
        lines.push(String::from("This would change:"));
        lines.extend(changes);
    } else if !warned {
        lines.push(String::from("No group's dates, figures or compliance would change."));
    }
    let steps = preview.pointer("/proposal/steps").and_then(Value::as_array).unwrap_or(&none);
    if !steps.is_empty() {
        lines.push(String::from("To keep both groups compliant, let licenses go along (--bring-licenses):"));
        let sentences = steps.iter().filter_map(|step| step.get("sentence"));
        lines.extend(sentences.map(|sentence| format!("  {}", cell(sentence))));
    }
    if preview.pointer("/proposal/proven_smallest") == Some(&Value::Bool(false)) {
        lines.push(String::from("  It is not proven that no fewer would do."));
    }
    if let Some(why) = preview.pointer("/no_proposal/sentence") {
        lines.push(format!("{bullet} {}", cell(why)));
    }
    if let Some(receiver) = preview.get("receiver") {
        let name = cell(receiver.get("organization_name").unwrap_or(&Value::Null));
        lines.push(format!("In {name}, which gets the key:"));
        lines.extend(describe(receiver, colored).lines().map(|line| format!("  {line}")));
    }
    if !list("events").is_empty() {
        lines.push(format!("It would be logged as: {}", cell(&Value::Array(list("events").clone()))));
    }
    lines.join("\n")
}

/// A group and what differs in it; nothing if nothing does.
fn group(group: &Value) -> Vec<String> {
    let (before, after) = (group.get("before"), group.get("after"));
    let (before, after) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
    let name = cell(group.get("name").unwrap_or(&Value::Null));
    match (before.is_null(), after.is_null()) {
        (true, _) => return vec![format!("  group {name}, which is new")],
        (false, true) => return vec![format!("  group {name}, which is deleted")],
        (false, false) if before == after => return Vec::new(),
        (false, false) => {}
    }
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
    let width = found.iter().map(|difference| difference.name.chars().count()).max().unwrap_or(0);
    let lines = found
        .iter()
        .map(|Difference { name, before, after, .. }| format!("    {name:width$}  {before} -> {after}"));
    [format!("  group {name}{}", moved(before, after))].into_iter().chain(lines).collect()
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

fn compare(before: &Value, after: &Value, at: &str, found: &mut Vec<Difference>) {
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
                // Who is ahead of the rest has a sentence, which says it all.
                let said = |value: &Value| value.get("sentence").cloned().unwrap_or_default();
                if name == "early" {
                    compare(&said(old), &said(new), name, found);
                    continue;
                }
                let at = if at.is_empty() { name.clone() } else { format!("{at} / {name}") };
                compare(old, new, &at, found);
            }
        }
        _ => {
            let (rank, name) = named(at);
            let counted = at.starts_with("capacity / ") || at.starts_with("in_use / ");
            let value = |value: &Value| match (counted, cell(value)) {
                (true, text) if text == "-" => String::from("0"),
                (false, text) if text == "-" => String::from("none"),
                (_, text) => text,
            };
            found.push(Difference { rank, name, before: value(before), after: value(after) });
        }
    }
}

/// The rank and the words of a figure.
fn named(at: &str) -> (usize, String) {
    let known = |name: &str| WORDS.iter().position(|(known, _)| *known == name);
    let word = |rank: usize| WORDS.get(rank).map_or("", |(_, word)| word);
    if let Some(rank) = known(at) {
        return (rank, word(rank).to_owned());
    }
    match at.split_once(" / ").and_then(|(head, rest)| Some((known(head)?, rest))) {
        Some((rank, rest)) => (rank, format!("{}, {rest}", word(rank))),
        None => (WORDS.len(), at.replace(" / ", ", ").replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_what_differs() {
        let preview = serde_json::json!({"version": 7,
            "warnings": [{"code": "DATE_LATER", "sentence": "North ends 365 days LATER."}], "groups": [
            {"name": "North",
                "before": {"coterm_at": "2027-01-01T00:00:00Z", "compliant": false, "capacity": {},
                    "findings": [{"code": "OVER_CAPACITY", "product": "camera", "shortfall": 3}], "odd_one": 1,
                    "early": {"devices": 2, "holders": [{"name": "Depot"}], "sentence": "Depot is early."}},
                "after": {"coterm_at": "2028-01-01T00:00:00Z", "compliant": true, "capacity": {"camera": 3},
                    "findings": [], "odd_one": null}},
            {"name": "South", "before": {"coterm_at": null}, "after": {"coterm_at": null}},
            {"name": "West", "before": null, "after": {"coterm_at": null}}],
            "events": ["key-claimed", "group-assessed"]});
        let expect = [
            "* North ends 365 days LATER.",
            "This would change:",
            "  group North: its licenses end later",
            "    co-term date       2027-01-01T00:00:00Z -> 2028-01-01T00:00:00Z",
            "    compliant          no -> yes",
            "    findings           OVER_CAPACITY (3 camera missing) -> none",
            "    capacity, camera   0 -> 3",
            "    ahead of the rest  Depot is early. -> none",
            "    odd one            1 -> none",
            "  group West, which is new",
            "It would be logged as: key-claimed, group-assessed",
        ];
        assert_eq!(describe(&preview, false), expect.join("\n"));
        let nothing = describe(&serde_json::json!({"groups": [], "events": []}), false);
        assert_eq!(nothing, "No group's dates, figures or compliance would change.");
    }
}
