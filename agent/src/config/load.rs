//! From layers of text to one table.

use super::Config;
use super::finding::{ConfigErrors, Finding};
use super::read::Reader;
use config::{Environment, File, FileFormat, Source, Value, ValueKind};
use std::path::{Path, PathBuf};

/// Where a configuration comes from, weakest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// The main file; `conf.d/*.toml` beside it are read too, sorted by name.
    pub file: PathBuf,
    /// Environment variables; those that begin with `COTERM_AGENT_` count.
    pub environment: Vec<(String, String)>,
    /// Dotted keys and values from the command line.
    pub overrides: Vec<(String, String)>,
}

/// What `config` calls the environment as an origin.
pub(super) const ENVIRONMENT: &str = "the environment";
pub(super) const FLAGS: &str = "the command line";

pub(super) type Table = config::Map<String, Value>;

/// Loads, checks, and says everything that is wrong.
pub(crate) fn load(layers: &Layers) -> Result<Config, ConfigErrors> {
    let mut findings = Vec::new();
    let mut texts = Vec::new();
    let merged = merge(layers, &mut texts, &mut findings);
    let base = layers.file.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut reader = Reader { table: merged, base, texts, findings };
    let unread = !reader.findings.is_empty();
    reader.refuse_unknown();
    if unread {
        // Whatever a file that was not read would have set is not missing.
        return Err(ConfigErrors(reader.findings));
    }
    let config = reader.config();
    match config {
        Some(config) if reader.findings.is_empty() => Ok(config),
        Some(_) | None => {
            if reader.findings.is_empty() {
                reader.note("", "the configuration is incomplete".to_owned());
            }
            Err(ConfigErrors(reader.findings))
        }
    }
}

fn merge(layers: &Layers, texts: &mut Vec<(String, String)>, findings: &mut Vec<Finding>) -> Table {
    let whole = |place: String, message: String| Finding { place, key: String::new(), message };
    let mut builder = config::Config::builder();
    for path in files(&layers.file) {
        let place = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push((place.clone(), text)),
            Err(error) => {
                let hint = "write one with `coterm-agent config --example`, or name another with --config";
                findings.push(whole(place, format!("{error}; {hint}")));
                continue;
            }
        };
        let source = File::from(path).format(FileFormat::Toml);
        match config::Config::builder().add_source(source.clone()).build() {
            Ok(_) => builder = builder.add_source(source),
            Err(error) => findings.push(whole(place, error.to_string())),
        }
    }
    // `COTERM_AGENT__X` is the same as `COTERM_AGENT_X`: both conventions are about, and a typing error would be silent.
    let environment = layers.environment.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("COTERM_AGENT_")?;
        Some((format!("COTERM_AGENT_{}", name.trim_start_matches('_')), value.clone()))
    });
    builder = builder.add_source(
        Environment::with_prefix("COTERM_AGENT")
            .prefix_separator("_")
            .separator("__")
            .source(Some(environment.collect())),
    );
    let mut flags = config::Map::new();
    for (key, value) in &layers.overrides {
        flags.insert(key.clone(), Value::new(Some(&FLAGS.to_owned()), ValueKind::String(value.clone())));
    }
    let built = builder.add_source(Flags(flags)).build().and_then(|built| built.collect());
    built.unwrap_or_else(|error| {
        findings.push(whole(String::new(), error.to_string()));
        Table::new()
    })
}

/// The command line as a layer.
#[derive(Clone, Debug)]
struct Flags(Table);

impl Source for Flags {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn files(main: &Path) -> Vec<PathBuf> {
    let mut more: Vec<PathBuf> = main
        .parent()
        .and_then(|dir| std::fs::read_dir(dir.join("conf.d")).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    more.sort();
    more.insert(0, main.to_path_buf());
    more
}
