//! The hostile set, as programs meet it: messages that must be refused, and the device they are aimed at.
//!
//! The set is data, `shared/vectors/hostile`; what makes it and what each case is about is told there. No cloud takes
//! part: whoever owns the broker owns everything a device hears, and the set is signed by keys of its own deployment.

use crate::cloud::{Cloud, MQTT_PORT};
use crate::device::{Device, Obeys};
use crate::rogue::RogueBroker;
use crate::tidy::repository;
use serde_json::Value;
use std::path::PathBuf;

/// One message that must be refused.
#[derive(Clone, Debug)]
pub struct Case {
    /// `token`, `keyring` or `root`.
    pub subject: String,
    /// The code of its refusal.
    pub refusal: String,
    /// What is wrong with it.
    pub name: String,
    /// The message.
    pub bytes: Vec<u8>,
}

/// The set, and the documents of the device it is aimed at.
#[derive(Debug)]
pub struct HostileSet {
    /// Every case, in the order of the file.
    pub cases: Vec<Case>,
    manifest: Value,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

impl HostileSet {
    /// The committed set.
    ///
    /// # Panics
    /// It is not there or not readable.
    #[must_use]
    pub fn load() -> HostileSet {
        let read = |name: &str| {
            let path = repository().join("shared/vectors/hostile").join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let lines = read("cases.jsonl");
        let cases = lines.lines().map(|line| {
            let value: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |name: &str| value[name].as_str().expect("a text").to_owned();
            Case {
                subject: text("as"),
                refusal: text("refusal"),
                name: text("name"),
                bytes: unhex(&text("hex")),
            }
        });
        let cases = cases.collect();
        HostileSet { cases, manifest: serde_json::from_str(&read("manifest.json")).expect("JSON") }
    }

    /// A text about the device: `device`, `organization`, `trust_domain`.
    ///
    /// # Panics
    /// There is none of that name.
    #[must_use]
    pub fn of_device(&self, name: &str) -> &str {
        self.manifest["device"][name].as_str().expect("a text")
    }

    /// What the device holds: `root`, `keyring`, `token`.
    #[must_use]
    pub fn held(&self, name: &str) -> Vec<u8> {
        unhex(self.of_device(name))
    }

    /// What it must go on to accept: `root`, `keyring`, `token`, and `keyring_under_that_root`.
    ///
    /// # Panics
    /// There is none of that name.
    #[must_use]
    pub fn accepted(&self, name: &str) -> Vec<u8> {
        unhex(self.manifest["accepted"][name].as_str().expect("a text"))
    }

    /// The topic a case of this subject is published on.
    #[must_use]
    pub fn topic(&self, subject: &str) -> String {
        match subject {
            "token" => format!("coterm/v1/d/{}/token", self.of_device("device")),
            "root" => String::from("coterm/v1/root/2"),
            _ => String::from("coterm/v1/keyring"),
        }
    }

    /// The device the set is aimed at, not yet running, and the broker it will talk to, which is not its cloud's.
    ///
    /// # Panics
    /// Its files cannot be written, or there is no Mosquitto.
    #[track_caller]
    #[must_use]
    pub fn victim(&self) -> (Cloud, RogueBroker, Device) {
        // Never started: it lends its address, its directory and the authority of its certificates.
        let cloud = Cloud::prepare(&[]);
        let pki_dir = cloud.data_dir().join("pki");
        std::fs::create_dir_all(&pki_dir).expect("a directory");
        let pki = coterm_certs::Pki::open_or_create(&pki_dir, crate::operator::time).expect("an authority");
        pki.server_identity(&[cloud.address().to_string()]).expect("a certificate");
        let broker = RogueBroker::instead_of(&cloud);

        let (id, organization) = (self.of_device("device"), self.of_device("organization"));
        let certificate = pki
            .device_certificate(
                &id.parse().expect("a device"),
                organization.parse().expect("an organization"),
            )
            .expect("a certificate");
        let dir: PathBuf = cloud.dir().join("devices").join(id);
        std::fs::create_dir_all(&dir).expect("a directory");
        for (name, bytes) in [
            ("root.cose", self.held("root")),
            ("keyring.cose", self.held("keyring")),
            ("held.cose", self.held("token")),
            ("broker-ca.crt", pki.ca_pem().expect("PEM").into_bytes()),
            ("device.crt", certificate.certificate_pem.into_bytes()),
            ("device.key", certificate.key_pem.as_bytes().to_vec()),
        ] {
            coterm_certs::replace_file(&dir.join(name), &bytes, 0o600).expect("a file can be written");
        }
        let head = format!(
            "device = {id:?}\norganization = {organization:?}\ntrust_domain = {:?}\nclass = \"camera\"\n\n\
             [broker]\nhost = \"{}\"\nport = {MQTT_PORT}\n\n",
            self.of_device("trust_domain"),
            cloud.address()
        );
        let device = Device::by_hand(dir, id, &head, Obeys::BySupervision);
        (cloud, broker, device)
    }
}
