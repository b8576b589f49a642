//! From keys to the types of a configuration, section by section.

use super::keys::ACTUATOR;
use super::read::{Reader, dotted, entries};
use super::{
    ActuatorConfig, Broker, Config, Demonstration, Enrolment, HookConfig, Timing, Trust, WorkloadConfig,
};
use crate::enrolment::talk::Server;
use config::Value;
use coterm_shared::enforcement::{DeviceClass, EgressIndependent};
use coterm_shared::time::Seconds;
use std::time::Duration;

impl Reader {
    /// Everything, or `None` with the reasons noted.
    pub(super) fn config(&mut self) -> Option<Config> {
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
        let enrolment = self.enrolment(broker.as_ref());
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
            enrolment,
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

    fn enrolment(&mut self, broker: Option<&Broker>) -> Option<Enrolment> {
        let server = self.text("enrolment", "server");
        let server_name = self.text("enrolment", "server_name");
        let ca_file =
            self.path("enrolment", "ca_file").or_else(|| broker.map(|broker| broker.ca_file.clone()));
        let server: Server = match server?.parse() {
            Ok(server) => server,
            Err(error) => {
                self.note("enrolment.server", error.to_string());
                return None;
            }
        };
        let server_name = server_name.unwrap_or_else(|| server.host.clone());
        if rustls_pki_types::ServerName::try_from(server_name.as_str()).is_err() {
            self.note(
                "enrolment.server_name",
                format!("`{server_name}` is neither a host name nor an address"),
            );
        }
        Some(Enrolment { server, server_name, ca_file: ca_file? })
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
            return Some(Demonstration {
                boot_id_file,
                time_scale: time_scale.unwrap_or(1),
                longest_tick,
                steady,
            });
        }
        for name in ["boot_id_file", "time_scale", "longest_tick_secs", "steady_secs"] {
            let key = dotted(SECTION, name);
            if self.value(&key).is_some() {
                self.note(
                    &key,
                    "makes time untrue and needs `demonstration.enabled = true`; remove it on a real device"
                        .to_owned(),
                );
            }
        }
        None
    }

    fn actuators(&mut self, class: Option<DeviceClass>) -> Vec<ActuatorConfig> {
        let count = self.table.get(ACTUATOR).and_then(entries).map_or(0, <[Value]>::len);
        if count == 0 {
            self.note(
                ACTUATOR,
                "at least one [[actuator]] is needed; write one with `kind = \"dry-run\"` to only log"
                    .to_owned(),
            );
        }
        let mut actuators = Vec::new();
        for n in 0..count {
            if let Some(actuator) = self.actuator(&format!("{ACTUATOR}[{n}]"), class) {
                let second = matches!(actuator, ActuatorConfig::Supervise(_))
                    && actuators.iter().any(|other| matches!(other, ActuatorConfig::Supervise(_)));
                if second {
                    self.note(
                        &format!("{ACTUATOR}[{n}].kind"),
                        "only one workload can be supervised; wrap several in one".to_owned(),
                    );
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
}

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}
