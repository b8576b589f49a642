//! Who an entry of the log is from, and the names its ids have now.

use super::*;
use std::collections::BTreeMap;

/// The names of what is in an organization, by id.
#[derive(Default)]
pub(super) struct Names(pub(super) BTreeMap<String, String>);

impl Names {
    pub(super) fn of(context: &Context) -> Result<Names, Failure> {
        let mut names = BTreeMap::new();
        for (list, name) in [("/groups", "name"), ("/sites", "name"), ("/keys", "code")] {
            for item in context.client.list(&context.path(list)?)? {
                let named = text(&item, name);
                let named = match named.rsplit_once('-') {
                    Some((_, tail)) if list == "/keys" => tail.to_owned(),
                    Some(_) | None => named,
                };
                names.insert(text(&item, "id"), named);
            }
        }
        Ok(Names(names))
    }

    /// Adds to an entry who (the name of its actor) and what in words, for people.
    pub(super) fn explain(&self, item: &mut Value) {
        let actor = text(item, "actor");
        let name = actor.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
        let who = name.unwrap_or(&actor).to_owned();
        let what = self.what(item.get("event").unwrap_or(&Value::Null));
        if let Some(fields) = item.as_object_mut() {
            fields.insert(String::from("who"), json!(who));
            fields.insert(String::from("what"), json!(what));
        }
    }

    /// What an id is called, or the id.
    pub(super) fn name(&self, id: impl ToString) -> String {
        let id = id.to_string();
        self.0.get(&id).cloned().unwrap_or(id)
    }
}
