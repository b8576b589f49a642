//! Typed reading of merged layers; whatever does not fit becomes a finding and reading goes on.

use super::finding::ConfigFinding;
use super::layers::Layers;
use config::ValueKind;
use coterm_shared::time::Seconds;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// Reads typed values and collects findings.
#[derive(Debug)]
pub(super) struct Reader {
    layers: Layers,
    findings: Vec<ConfigFinding>,
}

impl Reader {
    pub(super) fn new(layers: Layers, findings: Vec<ConfigFinding>) -> Reader {
        Reader { layers, findings }
    }

    pub(super) fn finish(self) -> Vec<ConfigFinding> {
        self.findings
    }

    /// Reports what is wrong with `path`, at the place that set it.
    pub(super) fn report(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let (origin, line) = match self.layers.value(path) {
            Some((_, origin, line)) => (origin, line),
            None => (String::from("(not set)"), None),
        };
        self.findings.push(ConfigFinding {
            key: path.to_owned(),
            origin,
            line,
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// The value as text, whatever scalar it is.
    pub(super) fn optional_text(&mut self, path: &str) -> Option<String> {
        match self.layers.value(path)?.0 {
            ValueKind::String(text) => Some(text.clone()),
            ValueKind::Boolean(value) => Some(value.to_string()),
            ValueKind::I64(value) => Some(value.to_string()),
            ValueKind::I128(value) => Some(value.to_string()),
            ValueKind::U64(value) => Some(value.to_string()),
            ValueKind::U128(value) => Some(value.to_string()),
            ValueKind::Float(_) | ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => {
                self.report(path, "is not a text or a whole number", "Write it as in the example");
                None
            }
        }
    }

    /// A text that must be set.
    pub(super) fn text(&mut self, path: &str, needed_for: &str) -> String {
        let known = self.findings.len();
        match self.optional_text(path) {
            Some(text) if !text.is_empty() => text,
            Some(_) | None => {
                if self.findings.len() == known {
                    self.report(path, "is not set", format!("It is needed for {needed_for}"));
                }
                String::new()
            }
        }
    }

    /// A path that must be set.
    pub(super) fn path(&mut self, path: &str, needed_for: &str) -> PathBuf {
        PathBuf::from(self.text(path, needed_for))
    }

    /// A path, if one is set.
    pub(super) fn optional_path(&mut self, path: &str) -> Option<PathBuf> {
        self.optional_text(path).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// A value with a parser of its own.
    pub(super) fn parsed<T>(&mut self, path: &str, hint: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.optional_text(path)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(path, format!("`{text}` does not fit: {error}"), hint);
                None
            }
        }
    }

    /// An address with a port.
    pub(super) fn socket(&mut self, path: &str) -> SocketAddr {
        self.parsed(path, "Write an address and a port, such as 127.0.0.1:8080 or [::1]:8080")
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, path: &str) -> bool {
        self.parsed(path, "Write true or false").unwrap_or(false)
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, path: &str, bounds: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.parsed::<u64>(path, "Write a whole number") else { return *bounds.start() };
        if bounds.contains(&value) {
            return value;
        }
        self.report(
            path,
            format!("{value} is out of bounds"),
            format!("Choose {} to {}", bounds.start(), bounds.end()),
        );
        *bounds.start()
    }

    /// A duration in seconds within bounds.
    pub(super) fn seconds(&mut self, path: &str, bounds: RangeInclusive<u64>) -> Seconds {
        Seconds(self.number(path, bounds))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, path: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.optional_text(path)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.report(path, format!("`{text}` is not known"), format!("Choose {}", names.join(" or ")));
        }
        found
    }

    /// A list of texts; a single text is split at commas, as environment and flags have no lists.
    pub(super) fn list(&mut self, path: &str) -> Vec<String> {
        let items: Vec<String> = match self.layers.value(path).map(|(kind, _, _)| kind) {
            Some(ValueKind::Array(items)) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => text.clone(),
                    ValueKind::Nil
                    | ValueKind::Boolean(_)
                    | ValueKind::I64(_)
                    | ValueKind::I128(_)
                    | ValueKind::U64(_)
                    | ValueKind::U128(_)
                    | ValueKind::Float(_)
                    | ValueKind::Table(_)
                    | ValueKind::Array(_) => String::new(),
                })
                .collect(),
            Some(_) => {
                let text = self.optional_text(path).unwrap_or_default();
                text.split(',').map(|item| item.trim().to_owned()).collect()
            }
            None => Vec::new(),
        };
        if items.is_empty() || items.iter().any(String::is_empty) {
            self.report(path, "is not a list of texts", "Write at least one, such as [\"localhost\"]");
        }
        items
    }
}
