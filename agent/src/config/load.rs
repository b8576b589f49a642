//! From layers of text to a checked configuration, with every finding.

use super::finding::{ConfigErrors, Finding, line_of, nearest};
use super::keys::{self, ACTUATOR, KEYS, Key, Kind, Without};
use super::{ActuatorConfig, Broker, Config, Demonstration, HookConfig, Timing, Trust, WorkloadConfig};
use config::{Environment, File, FileFormat, Source, Value, ValueKind};
use coterm_shared::enforcement::{DeviceClass, EgressIndependent};
use coterm_shared::time::Seconds;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

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
const ENVIRONMENT: &str = "the environment";
const FLAGS: &str = "the command line";

type Table = config::Map<String, Value>;

/// Loads, checks, and says everything that is wrong.
pub(crate) fn load(layers: &Layers) -> Result<Config, ConfigErrors> {
    let mut findings = Vec::new();
    let mut texts = Vec::new();
    let merged = merge(layers, &mut texts, &mut findings);
    let base = layers.file.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut reader = Reader { table: merged, base, texts, findings };
    reader.refuse_unknown();
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

struct Reader {
    table: Table,
    base: PathBuf,
    /// Files and their texts, weakest first.
    texts: Vec<(String, String)>,
    findings: Vec<Finding>,
}

impl Reader {
    fn note(&mut self, key: &str, message: String) {
        // A value that came from no file says so; otherwise the strongest file that sets the key is meant.
        let elsewhere = self.value(key).and_then(Value::origin).filter(|origin| [ENVIRONMENT, FLAGS].contains(origin));
        let in_file = |(place, text): &(String, String)| line_of(text, key).map(|line| format!("{place}:{line}"));
        let place = match elsewhere {
            Some(origin) => origin.to_owned(),
            None => self.texts.iter().rev().find_map(in_file).unwrap_or_default(),
        };
        self.findings.push(Finding { place, key: key.to_owned(), message });
    }

    /// The value at `key`, `section.key` or `actuator[n].key`.
    fn value(&self, key: &str) -> Option<&Value> {
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

    fn refuse_unknown(&mut self) {
        let mut unknown = Vec::new();
        for (name, value) in &self.table {
            if name == ACTUATOR {
                for (n, entry) in entries(value).into_iter().flatten().enumerate() {
                    let prefix = format!("{ACTUATOR}[{n}]");
                    unknown.extend(fields(entry).into_iter().flat_map(|table| unknown_in(&prefix, ACTUATOR, table)));
                }
            } else if keys::is_section(name) {
                unknown.extend(fields(value).into_iter().flat_map(|table| unknown_in(name, name, table)));
            } else if keys::find("", name).is_none() {
                let known = KEYS.iter().flat_map(|key| [key.section, if key.section.is_empty() { key.name } else { "" }]);
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
    fn get<T>(&mut self, place: &str, key: &Key, take: impl Fn(&Value) -> Option<T>, wanted: &str) -> Option<T> {
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

    fn text(&mut self, section: &str, name: &str) -> Option<String> {
        self.text_at(&dotted(section, name), section, name)
    }

    fn text_at(&mut self, place: &str, section: &str, name: &str) -> Option<String> {
        let key = known(section, name)?;
        self.get(place, key, |value| value.clone().into_string().ok().filter(|text| !text.is_empty()), "a text, not empty")
    }

    fn path_at(&mut self, place: &str, section: &str, name: &str) -> Option<PathBuf> {
        let text = self.text_at(place, section, name)?;
        Some(self.base.join(text))
    }

    fn path(&mut self, section: &str, name: &str) -> Option<PathBuf> {
        self.path_at(&dotted(section, name), section, name)
    }

    fn flag(&mut self, section: &str, name: &str) -> Option<bool> {
        let key = known(section, name)?;
        self.get(&dotted(section, name), key, |value| value.clone().into_bool().ok(), "true or false")
    }

    fn number_at(&mut self, place: &str, section: &str, name: &str, least: Option<u32>) -> Option<u32> {
        let key = known(section, name)?;
        let Kind::Number(low, high) = key.kind else { return None };
        let low = least.unwrap_or(low);
        let take = |value: &Value| {
            let number = value.clone().into_int().ok().and_then(|number| u32::try_from(number).ok())?;
            (low..=high).contains(&number).then_some(number)
        };
        self.get(place, key, take, &format!("a whole number from {low} to {high}"))
    }

    fn number(&mut self, section: &str, name: &str) -> Option<u32> {
        self.number_at(&dotted(section, name), section, name, None)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text("", name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(name, format!("{error}"));
                None
            }
        }
    }

    fn config(&mut self) -> Option<Config> {
        // Everything is read before anything is missed, so that one run shows all findings.
        let device = self.parsed("device");
        let organization = self.parsed("organization");
        let trust_domain = self.parsed("trust_domain");
        let class = self.class();
        let egress_independent = self.egress(class);
        let demonstration = self.demonstration();
        let timing = self.timing(demonstration.is_some());
        let broker = self.broker();
        let root_file = self.path("trust", "root_file");
        let keyring_file = self.path("trust", "keyring_file");
        let actuators = self.actuators(class);
        let log_level = self.log_level();
        let state_dir = self.path("", "state_dir");
        let run_dir = self.path("", "run_dir");
        Some(Config {
            device: device?,
            organization: organization?,
            trust_domain: trust_domain?,
            class: class?,
            egress_independent,
            state_dir: state_dir?,
            run_dir: run_dir?,
            broker: broker?,
            trust: Trust { root_file: root_file?, keyring_file: keyring_file? },
            actuators,
            timing: timing?,
            log_level: log_level?,
            demonstration,
        })
    }

    fn class(&mut self) -> Option<DeviceClass> {
        let life_safety = self.flag("", "life_safety");
        let name = self.text("", "class")?;
        match DeviceClass::from_configuration(&name, life_safety) {
            Ok(class) => Some(class),
            Err(error) => {
                self.note("class", error.to_string());
                None
            }
        }
    }

    fn egress(&mut self, class: Option<DeviceClass>) -> Option<EgressIndependent> {
        const SECTION: &str = "egress_independent";
        let table = self.table.get(SECTION)?.clone();
        if class.is_some_and(|class| class != DeviceClass::DoorController) {
            self.note(SECTION, "is for class `door-controller` alone; remove it".to_owned());
            return None;
        }
        match table.try_deserialize() {
            Ok(egress) => Some(egress),
            Err(error) => {
                self.note(SECTION, error.to_string());
                None
            }
        }
    }

    fn broker(&mut self) -> Option<Broker> {
        let host = self.text("broker", "host");
        let port = self.number("broker", "port").and_then(|port| u16::try_from(port).ok());
        let server_name = self.text("broker", "server_name").or_else(|| host.clone());
        if let Some(name) = &server_name
            && rustls_pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            self.note("broker.server_name", format!("`{name}` is neither a host name nor an address"));
        }
        let ca_file = self.path("broker", "ca_file");
        let certificate_file = self.path("broker", "certificate_file");
        let key_file = self.path("broker", "key_file");
        Some(Broker {
            host: host?,
            port: port?,
            server_name: server_name?,
            ca_file: ca_file?,
            certificate_file: certificate_file?,
            key_file: key_file?,
        })
    }

    fn timing(&mut self, demonstration: bool) -> Option<Timing> {
        // Reports every second are for a demonstration; on a fleet they would be a storm.
        let least = demonstration.then_some(1);
        let heartbeat = self.number_at("timing.heartbeat_secs", "timing", "heartbeat_secs", least);
        let observe = self.number("timing", "observe_secs");
        let max_backoff = self.number("timing", "max_backoff_secs");
        let connect_timeout = self.number("timing", "connect_timeout_secs");
        Some(Timing {
            heartbeat: secs(heartbeat?),
            observe: secs(observe?),
            max_backoff: secs(max_backoff?),
            connect_timeout: secs(connect_timeout?),
        })
    }

    fn log_level(&mut self) -> Option<tracing::level_filters::LevelFilter> {
        let level = self.text("log", "level")?;
        if !["error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
            self.note("log.level", "must be error, warn, info, debug or trace".to_owned());
            return None;
        }
        level.parse().ok()
    }

    fn demonstration(&mut self) -> Option<Demonstration> {
        const SECTION: &str = "demonstration";
        let enabled = self.flag(SECTION, "enabled").unwrap_or(false);
        let boot_id_file = self.path(SECTION, "boot_id_file");
        let time_scale = self.number(SECTION, "time_scale");
        let longest_tick = self.number(SECTION, "longest_tick_secs").map(|secs| Seconds(secs.into()));
        let steady = self.number(SECTION, "steady_secs").map(|secs| Seconds(secs.into()));
        if enabled {
            return Some(Demonstration { boot_id_file, time_scale: time_scale.unwrap_or(1), longest_tick, steady });
        }
        for name in ["boot_id_file", "time_scale", "longest_tick_secs", "steady_secs"] {
            let key = dotted(SECTION, name);
            if self.value(&key).is_some() {
                self.note(&key, "makes time untrue and needs `demonstration.enabled = true`; remove it on a real device".to_owned());
            }
        }
        None
    }

    fn actuators(&mut self, class: Option<DeviceClass>) -> Vec<ActuatorConfig> {
        let count = self.table.get(ACTUATOR).and_then(entries).map_or(0, <[Value]>::len);
        if count == 0 {
            self.note(ACTUATOR, "at least one [[actuator]] is needed; write one with `kind = \"dry-run\"` to only log".to_owned());
        }
        let mut actuators = Vec::new();
        for n in 0..count {
            if let Some(actuator) = self.actuator(&format!("{ACTUATOR}[{n}]"), class) {
                let second = matches!(actuator, ActuatorConfig::Supervise(_))
                    && actuators.iter().any(|other| matches!(other, ActuatorConfig::Supervise(_)));
                if second {
                    self.note(&format!("{ACTUATOR}[{n}].kind"), "only one workload can be supervised; wrap several in one".to_owned());
                }
                actuators.push(actuator);
            }
        }
        actuators
    }

    fn actuator(&mut self, place: &str, class: Option<DeviceClass>) -> Option<ActuatorConfig> {
        let at = |name: &str| format!("{place}.{name}");
        let kind = self.text_at(&at("kind"), ACTUATOR, "kind")?;
        if kind == "dry-run" {
            return Some(ActuatorConfig::DryRun);
        }
        let program = self.path_at(&at("program"), ACTUATOR, "program");
        let timeout = self.number_at(&at("timeout_secs"), ACTUATOR, "timeout_secs", None);
        let stop_timeout = self.number_at(&at("stop_timeout_secs"), ACTUATOR, "stop_timeout_secs", None);
        let args = self.list_at(&at("args"))?;
        if !["command", "supervise"].contains(&kind.as_str()) {
            self.note(&at("kind"), format!("`{kind}` is no actuator; write dry-run, command or supervise"));
            return None;
        }
        let Some(program) = program else {
            if self.value(&at("program")).is_none() {
                self.note(&at("program"), format!("is required for `{kind}`"));
            }
            return None;
        };
        if kind == "command" {
            let timeout = secs(timeout.unwrap_or(10));
            return Some(ActuatorConfig::Command(HookConfig { program, args, timeout }));
        }
        if class == Some(DeviceClass::DoorController) {
            let why = "a door controller is never supervised: ending that process could end egress logic; use `command`";
            self.note(&at("kind"), why.to_owned());
        }
        let stop_timeout = secs(stop_timeout.unwrap_or(10));
        Some(ActuatorConfig::Supervise(WorkloadConfig { program, args, stop_timeout }))
    }

    fn list_at(&mut self, place: &str) -> Option<Vec<String>> {
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

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

fn dotted(section: &str, name: &str) -> String {
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

fn entries(value: &Value) -> Option<&[Value]> {
    if let ValueKind::Array(entries) = &value.kind { Some(entries) } else { None }
}
