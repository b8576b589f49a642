//! Reading single keys out of the merged table, and noting everything that is wrong with them.

use super::finding::{Finding, line_of, nearest};
use super::keys::{self, ACTUATOR, KEYS, Key, Kind, Without};
use super::load::{ENVIRONMENT, FLAGS, Table};
use config::{Value, ValueKind};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// The merged table, and what was found wrong so far.
pub(super) struct Reader {
    pub(super) table: Table,
    pub(super) base: PathBuf,
    /// Files and their texts, weakest first.
    pub(super) texts: Vec<(String, String)>,
    pub(super) findings: Vec<Finding>,
}

impl Reader {
    pub(super) fn note(&mut self, key: &str, message: String) {
        // A value that came from no file says so; otherwise the strongest file that sets the key is meant.
        let elsewhere =
            self.value(key).and_then(Value::origin).filter(|origin| [ENVIRONMENT, FLAGS].contains(origin));
        let in_file =
            |(place, text): &(String, String)| line_of(text, key).map(|line| format!("{place}:{line}"));
        let place = match elsewhere {
            Some(origin) => origin.to_owned(),
            None => self.texts.iter().rev().find_map(in_file).unwrap_or_default(),
        };
        self.findings.push(Finding { place, key: key.to_owned(), message });
    }

    /// The value at `key`, `section.key` or `actuator[n].key`.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        let Some((section, name)) = key.rsplit_once('.') else { return self.table.get(key) };
        let section = match section.split_once('[') {
            Some((array, index)) => {
                let index: usize = index.trim_end_matches(']').parse().ok()?;
                entries(self.table.get(array)?)?.get(index)?
            }
            None => self.table.get(section)?,
        };
        fields(section)?.get(name)
    }

    pub(super) fn refuse_unknown(&mut self) {
        let mut unknown = Vec::new();
        for (name, value) in &self.table {
            if name == ACTUATOR {
                for (n, entry) in entries(value).into_iter().flatten().enumerate() {
                    let prefix = format!("{ACTUATOR}[{n}]");
                    unknown.extend(
                        fields(entry).into_iter().flat_map(|table| unknown_in(&prefix, ACTUATOR, table)),
                    );
                }
            } else if keys::is_section(name) {
                unknown.extend(fields(value).into_iter().flat_map(|table| unknown_in(name, name, table)));
            } else if keys::find("", name).is_none() {
                let known = KEYS
                    .iter()
                    .flat_map(|key| [key.section, if key.section.is_empty() { key.name } else { "" }]);
                unknown.push((name.clone(), nearest(name, known.filter(|word| !word.is_empty()))));
            }
        }
        unknown.sort();
        for (key, near) in unknown {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`coterm-agent config --example` shows all keys".to_owned(),
            };
            self.note(&key, format!("unknown key; {hint}"));
        }
    }

    /// The value of a key, or what holds without it; `None` if it is required and missing, wrong, or absent.
    pub(super) fn get<T>(
        &mut self,
        place: &str,
        key: &Key,
        take: impl Fn(&Value) -> Option<T>,
        wanted: &str,
    ) -> Option<T> {
        match (self.value(place), key.without) {
            (Some(value), _) => {
                let taken = take(value);
                if taken.is_none() {
                    self.note(place, format!("must be {wanted}"));
                }
                taken
            }
            (None, Without::Required(example)) => {
                self.note(place, format!("is required; write for example `{} = {example}`", key.name));
                None
            }
            (None, Without::Default(default)) => {
                let text = default.trim_matches('"').to_owned();
                take(&Value::new(None, ValueKind::String(text)))
            }
            (None, Without::Absent(_)) => None,
        }
    }

    pub(super) fn text(&mut self, section: &str, name: &str) -> Option<String> {
        self.text_at(&dotted(section, name), section, name)
    }

    pub(super) fn text_at(&mut self, place: &str, section: &str, name: &str) -> Option<String> {
        let key = known(section, name)?;
        self.get(
            place,
            key,
            |value| value.clone().into_string().ok().filter(|text| !text.is_empty()),
            "a text, not empty",
        )
    }

    pub(super) fn path_at(&mut self, place: &str, section: &str, name: &str) -> Option<PathBuf> {
        let text = self.text_at(place, section, name)?;
        Some(self.base.join(text))
    }

    pub(super) fn path(&mut self, section: &str, name: &str) -> Option<PathBuf> {
        self.path_at(&dotted(section, name), section, name)
    }

    pub(super) fn flag(&mut self, section: &str, name: &str) -> Option<bool> {
        let key = known(section, name)?;
        self.get(&dotted(section, name), key, |value| value.clone().into_bool().ok(), "true or false")
    }

    pub(super) fn number_at(
        &mut self,
        place: &str,
        section: &str,
        name: &str,
        least: Option<u32>,
    ) -> Option<u32> {
        let key = known(section, name)?;
        let Kind::Number(low, high) = key.kind else { return None };
        let low = least.unwrap_or(low);
        let take = |value: &Value| {
            let number = value.clone().into_int().ok().and_then(|number| u32::try_from(number).ok())?;
            (low..=high).contains(&number).then_some(number)
        };
        self.get(place, key, take, &format!("a whole number from {low} to {high}"))
    }

    pub(super) fn number(&mut self, section: &str, name: &str) -> Option<u32> {
        self.number_at(&dotted(section, name), section, name, None)
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text("", name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(name, format!("{error}"));
                None
            }
        }
    }

    pub(super) fn list_at(&mut self, place: &str) -> Option<Vec<String>> {
        let Some(value) = self.value(place) else { return Some(Vec::new()) };
        let list = value.clone().into_array().ok();
        let texts: Option<Vec<String>> =
            list.and_then(|list| list.into_iter().map(|item| item.into_string().ok()).collect());
        if texts.is_none() {
            self.note(place, "must be a list of texts".to_owned());
        }
        texts
    }
}

pub(super) fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn known(section: &str, name: &str) -> Option<&'static Key> {
    let key = keys::find(section, name);
    debug_assert!(key.is_some(), "{section}.{name} is not in the table of keys");
    key
}

fn unknown_in(prefix: &str, section: &str, table: &Table) -> Vec<(String, Option<&'static str>)> {
    let names = || KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    table
        .keys()
        .filter(|name| keys::find(section, name).is_none())
        .map(|name| (format!("{prefix}.{name}"), nearest(name, names())))
        .collect()
}

fn fields(value: &Value) -> Option<&Table> {
    if let ValueKind::Table(table) = &value.kind { Some(table) } else { None }
}

pub(super) fn entries(value: &Value) -> Option<&[Value]> {
    if let ValueKind::Array(entries) = &value.kind { Some(entries) } else { None }
}
