//! A broker in the wrong hands: Mosquitto with the daemon's own certificate, which lets everybody publish everything.

use crate::cloud::{Cloud, MQTT_PORT, clean};
use crate::mqtt::{Login, Neighbour};
use crate::process::Process;
use crate::wait::eventually;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A broker that has taken the place of a stopped daemon's.
#[derive(Debug)]
pub struct RogueBroker {
    process: Process,
    address: Ipv4Addr,
}

impl RogueBroker {
    /// Listens where `cloud`, which must be stopped, did.
    ///
    /// # Panics
    /// Mosquitto is missing or does not start.
    #[track_caller]
    #[must_use]
    pub fn instead_of(cloud: &Cloud) -> RogueBroker {
        let address = cloud.address();
        let pki = cloud.data_dir().join("pki");
        let config = cloud.dir().join("rogue.conf");
        let text = format!(
            "listener {MQTT_PORT} {address}\nallow_anonymous true\nuser root\nlog_dest stderr\nlog_type all\n\
             cafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate false\n",
            ca = pki.join("ca.crt").display(),
            certificate = pki.join("server.crt").display(),
            key = pki.join("server.key").display(),
        );
        std::fs::write(&config, text).expect("a file can be written");
        let process = mosquitto(&config, cloud.dir());
        eventually("the rogue broker to listen", || {
            TcpStream::connect((address, MQTT_PORT)).map_err(|error| format!("{error}: {}", process.log()))
        });
        RogueBroker { process, address }
    }

    /// Publishes to a topic of a device, as its administrator could.
    ///
    /// # Panics
    /// It cannot.
    #[track_caller]
    pub fn publish(&self, directory: &Path, topic: &str, payload: &[u8]) {
        let mut admin = self.client(directory, "admin");
        assert_eq!(admin.publish(topic, payload, true), Ok(true), "the rogue broker takes everything");
    }

    /// Somebody without a certificate, who may do everything here.
    ///
    /// # Panics
    /// The broker is gone.
    #[track_caller]
    #[must_use]
    pub fn client(&self, directory: &Path, client_id: &str) -> Neighbour {
        let login = Login {
            address: self.address,
            port: MQTT_PORT,
            client_id,
            username: None,
            directory,
            certificate: false,
            will: None,
        };
        Neighbour::connect(&login).expect("the rogue broker lets everybody in")
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Starts a real Mosquitto with a configuration file.
///
/// # Panics
/// It is not installed.
#[track_caller]
#[must_use]
pub fn mosquitto(config: &Path, dir: &Path) -> Process {
    let path = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .expect("this test starts a real Mosquitto: apt-get install mosquitto");
    let mut command = Command::new(path);
    command.arg("-c").arg(config);
    clean(&mut command, dir);
    Process::start("mosquitto", command, &dir.join("mosquitto.log"))
}
