//! What an entry of the log is about, in words: ids are told by the names they have now.

use super::*;
use std::collections::BTreeMap;

/// The names of what is in an organization, by id.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

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

    fn name(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// What an event is about.
    fn what(&self, event: &Value) -> String {
        let get = |name: &str| event.get(name).and_then(Value::as_str);
        let mut said: Vec<String> = Vec::new();
        if let Some(device) = get("device") {
            said.push(device.to_owned());
        }
        match event.get("key") {
            Some(Value::String(id)) => said.push(format!("key {}", self.name(id))),
            Some(key @ Value::Object(_)) => said.push(key_text(key)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {}
        }
        let own = get("name");
        if let Some(site) = get("site") {
            let name = own.map_or_else(|| self.name(site), str::to_owned);
            said.push(if said.is_empty() { format!("site {name}") } else { format!("at {name}") });
        } else if let Some(group) = get("group") {
            said.push(format!("group {}", own.map_or_else(|| self.name(group), str::to_owned)));
        } else if let Some(name) = own {
            said.push(name.to_owned());
        }
        said.extend(event.get("place").and_then(|place| self.place(place)));
        if let Some(parts) = event.get("parts").and_then(Value::as_array) {
            let parts = parts.iter().map(|part| {
                let key = key_text(part.get("key").unwrap_or(&Value::Null));
                let place = part.get("place").and_then(|place| self.place(place));
                [Some(key), place].into_iter().flatten().collect::<Vec<_>>().join(" ")
            });
            said.push(format!("into {}", parts.collect::<Vec<_>>().join(" and ")));
        }
        said.extend(get("to").map(|to| format!("to {to}")));
        if let Some(why) = event.get("why") {
            let reason = why.get("why").unwrap_or(why).as_str().unwrap_or_default();
            let by = why.get("by").and_then(Value::as_str);
            said.push(by.map_or_else(|| format!("({reason})"), |by| format!("({reason} by {by})")));
        }
        said.extend(event.get("keys").and_then(Value::as_u64).map(|keys| format!("{keys} key(s)")));
        // Of the platform's log.
        if let Some(model) = event.get("model").filter(|model| model.is_object()) {
            let field = |name: &str| model.get(name).map(crate::table::cell).unwrap_or_default();
            said.push(format!("{}: {} {}", field("name"), field("units"), field("product")));
        }
        for field in ["product", "model", "price"] {
            if said.is_empty() || field == "price" {
                said.extend(event.get(field).filter(|value| !value.is_null()).map(crate::table::cell));
            }
        }
        said.join(" ")
    }

    /// Where something was put.
    fn place(&self, place: &Value) -> Option<String> {
        let into = ["group", "parent"].iter().find_map(|name| place.get(name)?.as_str());
        let word = place.get("place")?.as_str()?;
        Some(match (into, word) {
            (Some(id), "queued") => format!("as renewal of {}", self.name(id)),
            (Some(id), _) => format!("in {}", self.name(id)),
            (None, word) => word.to_owned(),
        })
    }
}

/// A key by the end of its code, and what it holds.
fn key_text(key: &Value) -> String {
    let lines = key.get("lines").map(crate::table::cell).unwrap_or_default();
    format!("key {} ({lines})", text(key, "code_tail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_and_what_in_words() {
        let names = Names(BTreeMap::from([
            (String::from("grp_1"), String::from("North")),
            (String::from("site_1"), String::from("Dock")),
            (String::from("key_1"), String::from("ABCDE")),
        ]));
        let key = json!({"id": "key_2", "code_tail": "FGHIJ", "lines": [{"product": "door", "quantity": 8, "weight": 1}]});
        for (event, expect) in [
            (json!({"type": "group-assessed", "group": "grp_1"}), "group North"),
            (
                json!({"type": "device-claimed", "device": "cam-1", "site": "site_1", "product": "camera"}),
                "cam-1 at Dock",
            ),
            (
                json!({"type": "site-moved", "site": "site_1", "place": {"place": "root", "group": "grp_1"}}),
                "site Dock in North",
            ),
            (
                json!({"type": "key-placed", "key": "key_1", "place": {"place": "unassigned"}}),
                "key ABCDE unassigned",
            ),
            (
                json!({"type": "key-claimed", "key": key, "place": {"place": "queued", "group": "grp_1"}}),
                "key FGHIJ (8 door) as renewal of North",
            ),
            (json!({"type": "group-renamed", "group": "grp_1", "name": "East"}), "group East"),
            (
                json!({"type": "device-retired", "device": "cam-1", "why": {"why": "replaced", "by": "cam-2"}}),
                "cam-1 (replaced by cam-2)",
            ),
            (
                json!({"type": "model-put", "model": {"name": "D4", "product": "door", "units": 4}}),
                "D4: 4 door",
            ),
            (json!({"type": "key-transferred", "key": "key_9", "to": "org_2"}), "key key_9 to org_2"),
        ] {
            assert_eq!(names.what(&event), expect);
        }
        let mut item = json!({"actor": "tok_1 vendor (ada)", "event": {}});
        names.explain(&mut item);
        assert_eq!(item["who"], "ada");
    }
}
