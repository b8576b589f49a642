//! The layers a configuration is made of, lowest first: defaults, file, `conf.d/*.toml`, environment, flags.

use super::fields::{FIELDS, Field, FieldDefault};
use super::finding::{ConfigFinding, line_of, nearest};
use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What every environment variable of the daemon starts with; `__` separates levels.
pub const ENVIRONMENT_PREFIX: &str = "COTERM_CLOUD";
/// The environment variable that names the configuration file; it is no key.
pub const ENVIRONMENT_FILE: &str = "COTERM_CLOUD_CONFIG";

/// Where a configuration comes from, besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file; `conf.d/*.toml` beside it is read too, in the order of the names.
    pub file: Option<PathBuf>,
    /// The environment, all of it; only variables of the daemon are looked at.
    pub environment: HashMap<String, String>,
    /// `key=value` pairs from the command line, later ones winning.
    pub flags: Vec<(String, String)>,
    /// Whether the daemon was started in demonstration mode, which lifts the bounds of durations. No key sets this.
    pub demonstration: bool,
}

/// One layer: who says it and what it says.
#[derive(Debug)]
pub(super) struct Layer {
    name: LayerName,
    values: Map<String, Value>,
}

#[derive(Debug)]
enum LayerName {
    Defaults,
    File { path: PathBuf, text: String },
    Environment,
    Flags,
}

impl Layer {
    /// Which file, variable or flag set `path` in this layer, and on which line.
    fn origin(&self, path: &str) -> (String, Option<u32>) {
        match &self.name {
            LayerName::Defaults => (String::from("(default)"), None),
            LayerName::File { path: file, text } => (file.display().to_string(), line_of(text, path)),
            LayerName::Environment => {
                (format!("{ENVIRONMENT_PREFIX}_{}", path.to_uppercase().replace('.', "__")), None)
            }
            LayerName::Flags => (format!("--set {path}"), None),
        }
    }
}

/// All layers, lowest first.
#[derive(Debug)]
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// Reads every layer, and reports every layer that cannot be read and every key nobody knows.
    pub(super) fn read(sources: &Sources, findings: &mut Vec<ConfigFinding>) -> Layers {
        let mut layers = vec![Layer { name: LayerName::Defaults, values: defaults() }];
        for path in files(sources.file.as_deref(), findings) {
            layers.extend(read_file(path, findings));
        }
        layers.push(environment(&sources.environment, findings));
        layers.push(flags(&sources.flags));
        for layer in &layers {
            unknown_keys(layer, &layer.values, "", findings);
        }
        Layers(layers)
    }

    /// The value of a key in the highest layer that sets it, and who set it.
    pub(super) fn value(&self, path: &str) -> Option<(&ValueKind, String, Option<u32>)> {
        self.0.iter().rev().find_map(|layer| {
            let value = lookup(&layer.values, path)?;
            let (origin, line) = layer.origin(path);
            Some((&value.kind, origin, line))
        })
    }
}

fn lookup<'a>(values: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => values.get(path),
        Some((head, rest)) => {
            let ValueKind::Table(inner) = &values.get(head)?.kind else { return None };
            lookup(inner, rest)
        }
    }
}

/// The bottom layer, from the table of fields.
fn defaults() -> Map<String, Value> {
    let text: String = FIELDS
        .iter()
        .filter_map(|Field { path, value, .. }| match value {
            FieldDefault::Literal(literal) => Some(format!("{path} = {literal}\n")),
            FieldDefault::Unset(_) => None,
        })
        .collect();
    File::from_str(&text, FileFormat::Toml).collect().unwrap_or_default()
}

/// The configuration file and the drop-ins beside it, lowest first.
fn files(file: Option<&Path>, findings: &mut Vec<ConfigFinding>) -> Vec<PathBuf> {
    let Some(file) = file else { return Vec::new() };
    let mut files = vec![file.to_owned()];
    let drop_ins = file.parent().unwrap_or(Path::new("")).join("conf.d");
    match std::fs::read_dir(&drop_ins) {
        Ok(entries) => {
            let mut found: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .collect();
            found.sort();
            files.extend(found);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => findings.push(unreadable(&drop_ins, &error)),
    }
    files
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigFinding {
    ConfigFinding {
        key: String::new(),
        origin: path.display().to_string(),
        line: None,
        message: format!("cannot be read: {error}"),
        hint: String::from(
            "Name an existing file the daemon may read, or leave `--config` out to use the defaults",
        ),
    }
}

fn read_file(path: PathBuf, findings: &mut Vec<ConfigFinding>) -> Option<Layer> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            findings.push(unreadable(&path, &error));
            return None;
        }
    };
    match File::from_str(&text, FileFormat::Toml).collect() {
        Ok(values) => Some(Layer { name: LayerName::File { path, text }, values }),
        Err(error) => {
            findings.push(syntax_error(&path, &error.to_string()));
            None
        }
    }
}

/// The parser's report is several lines with a drawing; one line is kept, and the line number found in it.
fn syntax_error(path: &Path, report: &str) -> ConfigFinding {
    let line = report
        .split_once("line ")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok());
    let message = report.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.contains('|'));
    ConfigFinding {
        key: String::new(),
        origin: path.display().to_string(),
        line,
        message: format!("not TOML: {}", message.unwrap_or("it does not parse")),
        hint: String::from("`coterm-cloud config --example` prints a file that works"),
    }
}

fn environment(variables: &HashMap<String, String>, findings: &mut Vec<ConfigFinding>) -> Layer {
    let ours = variables
        .iter()
        .filter(|(name, _)| *name != ENVIRONMENT_FILE)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let source = Environment::with_prefix(ENVIRONMENT_PREFIX)
        .prefix_separator("_")
        .separator("__")
        .ignore_empty(true)
        .source(Some(ours));
    let flat = source.collect().unwrap_or_else(|error| {
        findings.push(ConfigFinding {
            key: String::new(),
            origin: String::from("environment"),
            line: None,
            message: error.to_string(),
            hint: format!("Variables are named {ENVIRONMENT_PREFIX}_SECTION__KEY"),
        });
        Map::new()
    });
    let mut values = Map::new();
    for (path, value) in flat {
        insert(&mut values, &path, value);
    }
    Layer { name: LayerName::Environment, values }
}

fn flags(flags: &[(String, String)]) -> Layer {
    let mut values = Map::new();
    for (path, value) in flags {
        insert(&mut values, path, Value::new(None, value.as_str()));
    }
    Layer { name: LayerName::Flags, values }
}

/// Puts a value under its dotted path.
fn insert(values: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            values.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let table = values
                .entry(head.to_owned())
                .or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if !matches!(table.kind, ValueKind::Table(_)) {
                *table = Value::new(None, Map::<String, Value>::new());
            }
            if let ValueKind::Table(inner) = &mut table.kind {
                insert(inner, rest, value);
            }
        }
    }
}

/// Reports every key of the layer that is in no field.
fn unknown_keys(layer: &Layer, values: &Map<String, Value>, prefix: &str, findings: &mut Vec<ConfigFinding>) {
    let mut names: Vec<&String> = values.keys().collect();
    names.sort();
    for name in names {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let is_section = FIELDS
            .iter()
            .any(|field| field.path.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.')));
        if FIELDS.iter().any(|field| field.path == path) {
            continue;
        }
        match values.get(name).map(|value| &value.kind) {
            Some(ValueKind::Table(inner)) if is_section => unknown_keys(layer, inner, &path, findings),
            _ => {
                let (origin, line) = layer.origin(&path);
                let message =
                    if is_section { "is a section, not a key" } else { "there is no such key" }.to_owned();
                let hint = match nearest(&path, FIELDS.iter().map(|field| field.path)) {
                    Some(meant) => format!("Did you mean `{meant}`?"),
                    None => String::from("`coterm-cloud config --example` prints every key"),
                };
                findings.push(ConfigFinding { key: path, origin, line, message, hint });
            }
        }
    }
}
