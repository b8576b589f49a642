//! A broker of the operator's own: a real Mosquitto with the documented configuration, at the address of a cloud.

use crate::cloud::{Cloud, MQTT_PORT};
use crate::process::Process;
use crate::rogue::mosquitto;
use crate::tidy::repository;
use crate::wait::eventually;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A Mosquitto, running as long as this lives.
#[derive(Debug)]
pub struct OwnBroker {
    process: Process,
}

impl OwnBroker {
    /// A daemon, not yet started, for an external broker at its own address.
    #[must_use]
    pub fn prepare() -> Cloud {
        // The paths are only known once the daemon has its place, so they are relative to its directory.
        Cloud::prepare(&[
            "mqtt.mode=external",
            "mqtt.external.ca_file=data/pki/ca.crt",
            "mqtt.external.certificate_file=data/pki/cloud.crt",
            "mqtt.external.key_file=data/pki/cloud.key",
        ])
    }

    /// Starts it with exactly what is documented; only port, paths and user differ.
    #[track_caller]
    #[must_use]
    pub fn documented(cloud: &Cloud) -> OwnBroker {
        OwnBroker::changed(cloud, "", "")
    }

    /// The same with one line of its configuration or access list replaced.
    ///
    /// # Panics
    /// There is no such line, or it does not start.
    #[track_caller]
    #[must_use]
    pub fn changed(cloud: &Cloud, from: &str, to: &str) -> OwnBroker {
        let config = OwnBroker::configure(cloud, from, to);
        OwnBroker { process: OwnBroker::start(cloud, &config) }
    }

    /// Writes the configuration; returns its file.
    ///
    /// # Panics
    /// There is no line `from`, or a file cannot be written.
    #[track_caller]
    #[must_use]
    pub fn configure(cloud: &Cloud, from: &str, to: &str) -> PathBuf {
        let pki_dir = cloud.data_dir().join("pki");
        std::fs::create_dir_all(&pki_dir).expect("a directory");
        std::fs::set_permissions(cloud.data_dir(), PermissionsExt::from_mode(0o700)).expect("it is ours");
        let pki = coterm_certs::Pki::open_or_create(&pki_dir, crate::operator::time).expect("an authority");
        pki.server_identity(&[cloud.address().to_string()]).expect("a certificate");
        pki.cloud_identity().expect("a certificate");
        pki.write_revocation_list().expect("a list");
        let read = |name: &str| {
            let path = repository().join("cloud/brokers/mosquitto").join(name);
            std::fs::read_to_string(path).expect("it is documented")
        };
        let (mut config, mut acl) = (read("mosquitto.conf"), read("acl"));
        if !from.is_empty() {
            let has = |text: &str| text.lines().any(|line| line == from);
            assert!(has(&config) || has(&acl), "no line `{from}`");
            let replaced = |text: &str| {
                text.lines().map(|line| if line == from { to } else { line }).collect::<Vec<_>>().join("\n")
            };
            (config, acl) = (replaced(&config), replaced(&acl));
        }
        let home = cloud.dir().display();
        config = config
            .replace("/etc/mosquitto/coterm/acl", &format!("{home}/acl"))
            .replace("/etc/mosquitto/coterm/", &format!("{}/", pki_dir.display()))
            .replace("/var/lib/mosquitto/", &format!("{home}/"))
            .replace("listener 8883", &format!("listener {MQTT_PORT} {}", cloud.address()))
            .replace("autosave_interval 30", "autosave_interval 1");
        config.push_str("\nuser root\nlog_dest stderr\nlog_type all\n");
        std::fs::write(cloud.dir().join("acl"), acl).expect("a file");
        let file = cloud.dir().join("mosquitto.conf");
        std::fs::write(&file, config).expect("a file");
        file
    }

    /// Starts it with a configuration written before, and waits until it listens.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    #[must_use]
    pub fn start(cloud: &Cloud, config: &std::path::Path) -> Process {
        let process = mosquitto(config, cloud.dir());
        eventually("Mosquitto to listen", || {
            TcpStream::connect((cloud.address(), MQTT_PORT))
                .map_err(|error| format!("{error}: {}", process.log()))
        });
        process
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
