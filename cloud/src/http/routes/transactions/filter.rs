//! Which lines of the log are wanted: by subject, operation, actor, request and time (domain T1).

use super::{Envelope, Fields, Value, event_of, kind};
use coterm_shared::id::GroupId;
use coterm_shared::licensing::{Event, Subject};
use coterm_shared::time::Timestamp;

/// Which lines are wanted; without a condition, all.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Those that name this group.
    group: Option<GroupId>,
    /// Those about this group, site, device, key or organization, by id, or by a name given to it.
    subject: Option<String>,
    /// Those at or after this instant.
    pub(super) since: Option<Timestamp>,
    /// Those before this instant.
    until: Option<Timestamp>,
    /// Those of this operation, as its event is called.
    event: Option<String>,
    /// Those of this actor: as it stands in the line, or the id or the name in it.
    actor: Option<String>,
    /// Those of this request.
    request: Option<String>,
}

impl Filter {
    /// The conditions of a query on a log of the `known` events; `None` if one is faulty, which the query then knows.
    pub(super) fn of(query: &mut Fields, known: &[&str]) -> Option<Filter> {
        let group = query.optional::<GroupId>("group");
        let since = query.optional::<Timestamp>("since");
        let until = query.optional::<Timestamp>("until");
        let event = query.optional::<String>("event");
        // An event that is none is a misspelling; an empty list would say that it never happened.
        if let Some(Some(event)) =
            event.as_ref().filter(|event| event.as_deref().is_some_and(|name| !known.contains(&name)))
        {
            query.fault(
                "INVALID_VALUE",
                "event",
                format!(
                    "`event` is no event of this log: there is no {event:?}; known are `{}`",
                    known.join("`, `")
                ),
            );
        }
        let actor = query.optional::<String>("actor");
        let subject = query.optional::<String>("subject");
        let request = query.optional::<String>("request");
        Some(Filter {
            group: group?,
            subject: subject?,
            since: since?,
            until: until?,
            event: event?,
            actor: actor?,
            request: request?,
        })
    }

    /// Whether every line is wanted.
    pub(super) fn is_all(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether this line is wanted.
    pub(super) fn wants(&self, line: &Envelope) -> bool {
        let of_group = |group: GroupId| names(line, &group.to_string(), &[Subject::Group(group)]);
        self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at < until)
            && self.actor.as_ref().is_none_or(|actor| is_actor(&line.actor, actor))
            && self.request.as_ref().is_none_or(|request| *request == line.request_id)
            && self.group.is_none_or(of_group)
            && self.event.as_ref().is_none_or(|event| kind(&event_of(line)) == event)
            && self.subject.as_ref().is_none_or(|subject| {
                is_about(&event_of(line), subject) || names(line, subject, &meant(subject))
            })
    }
}

/// Whether an event of an organization names one of these, of which `text` stands in it.
fn names(line: &Envelope, text: &str, meant: &[Subject]) -> bool {
    // Most lines are told apart by their bytes; only those that hold the text are read.
    if !line.event.windows(text.len().max(1)).any(|part| part == text.as_bytes()) {
        return false;
    }
    let Ok(event) = serde_json::from_slice::<Event>(&line.event) else { return false };
    event.subjects().iter().any(|subject| meant.contains(subject))
}

/// What an id may be the id of.
fn meant(text: &str) -> Vec<Subject> {
    let ids = [
        text.parse().map(Subject::Group).ok(),
        text.parse().map(Subject::Key).ok(),
        text.parse().map(Subject::Site).ok(),
        text.parse().map(Subject::Device).ok(),
    ];
    ids.into_iter().flatten().collect()
}

/// Whether an actor as it stands in a line, `tok_… role (name)`, is the one that is meant: whole, by id or by name.
fn is_actor(actor: &str, meant: &str) -> bool {
    let id = actor.split(' ').next();
    let name = actor.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
    actor == meant || id == Some(meant) || name == Some(meant)
}

/// The fields of an event that say what it is about.
const SUBJECTS: &[&str] = &[
    "organization",
    "group",
    "default_group",
    "site",
    "parent",
    "device",
    "by",
    "key",
    "id",
    "code_tail",
    "order_number",
    "to",
    "name",
    "product",
    "model",
];

/// Whether an event is about this id, or about what has this name.
fn is_about(event: &Value, subject: &str) -> bool {
    match event {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            (value.as_str() == Some(subject) && SUBJECTS.contains(&name.as_str())) || is_about(value, subject)
        }),
        Value::Array(values) => values.iter().any(|value| is_about(value, subject)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Domain T1: lines are found by actor and by subject.
    #[test]
    fn an_actor_is_meant_by_id_name_or_whole_and_a_subject_by_id_or_name() {
        let actor = "tok_1 org-admin (Ada (night))";
        for meant in [actor, "tok_1", "Ada (night)"] {
            assert!(is_actor(actor, meant), "{meant}");
        }
        for other in ["", "Ada", "org-admin", "tok_", "(Ada (night))"] {
            assert!(!is_actor(actor, other), "{other}");
        }
        let event = json!({"type": "key-claimed", "key": {"id": "key_1", "code_tail": "ABCDE"},
            "place": {"place": "active", "group": "grp_1"}, "state": "licensed"});
        assert!(["key_1", "ABCDE", "grp_1"].iter().all(|subject| is_about(&event, subject)));
        assert!(!["licensed", "active", "key-claimed", "grp_"].iter().any(|other| is_about(&event, other)));
    }
}
