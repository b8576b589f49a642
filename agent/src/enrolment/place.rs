//! Where an enrolment is kept, and the one rename that makes it count.
//!
//! Beside `agent.toml`: `enrolment/TAG/` has the key and everything that was received, the tag being made from the claim
//! code, so that whoever starts again after a crash finds the key it began with and the cloud answers it alike. The file
//! `conf.d/50-enrolment.toml` points there; it is written last. Without it nothing has happened.

use super::ExchangeError;
use super::join::Admission;
use super::talk::Server;
use crate::files::{self, FileError};
use coterm_shared::enforcement::DeviceClass;
use coterm_shared::enrolment::code::ClaimText;
use coterm_shared::product::ProductType;
use coterm_shared::token::BrokerPlace;
use rcgen::KeyPair;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The file that makes an enrolment count.
const POINTER: &str = "conf.d/50-enrolment.toml";

/// The directory of one enrolment.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The directory of `agent.toml`.
    base: PathBuf,
    /// The name of the directory in `enrolment/`.
    tag: String,
}

impl Place {
    /// The place of an enrolment with this code, for the agent with this configuration file.
    pub(crate) fn of(config: &Path, code: &ClaimText) -> Place {
        let base = match config.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            Some(_) | None => PathBuf::from("."),
        };
        let mut hasher = Sha256::new();
        hasher.update(b"coterm enrolment directory\0");
        hasher.update(code.secret().as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let tag = digest.iter().take(8).fold(String::new(), |mut tag, byte| {
            // Writing to a String cannot fail.
            let _ = write!(tag, "{byte:02x}");
            tag
        });
        Place { base, tag }
    }

    /// The directory with the key and what was received.
    pub(crate) fn dir(&self) -> PathBuf {
        self.base.join("enrolment").join(&self.tag)
    }

    /// What is enrolled here: this very code, another, or nothing.
    pub(crate) fn present(&self) -> Option<bool> {
        let text = std::fs::read_to_string(self.base.join(POINTER)).ok()?;
        Some(text.contains(&format!("enrolment/{}/", self.tag)))
    }

    /// Whether the configuration names a device already that was provisioned by hand.
    pub(crate) fn is_provisioned(&self) -> bool {
        self.base.join("device.key").exists()
    }

    /// Two enrolments at once would each believe to be the one.
    pub(crate) fn lock(&self) -> Result<files::Lock, FileError> {
        let dir = self.base.join("enrolment");
        files::ensure_dir(&dir, 0o700)?;
        files::lock(&dir.join("lock"))
    }

    /// The key of this enrolment: the one it began with, or a new one that is on disk before anybody hears of it.
    pub(crate) fn key(&self) -> Result<KeyPair, ExchangeError> {
        let dir = self.dir();
        files::ensure_dir(&dir, 0o700)?;
        let path = dir.join("device.key");
        let unusable = |error: rcgen::Error| ExchangeError::Key(error.to_string());
        if path.exists() {
            let pem = files::read_secret(&path)?;
            return KeyPair::from_pem(&String::from_utf8_lossy(&pem)).map_err(unusable);
        }
        let key = KeyPair::generate().map_err(unusable)?;
        files::replace_durably(&path, zeroize::Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
        Ok(key)
    }

    /// Writes what was received and, as the last thing, makes it count.
    pub(crate) fn settle(
        &self,
        config: &Path,
        server: &Server,
        admission: &Admission,
        class: Option<&str>,
    ) -> Result<(), ExchangeError> {
        let dir = self.dir();
        let enrolled = &admission.enrolled;
        let Some(broker) = &enrolled.broker else { return Err(coterm_shared::token::MessageError.into()) };
        let text = pointer(&self.tag, server, admission, broker)?;
        let chain: String = enrolled.chain.iter().map(|der| pem(der)).collect();
        for (name, bytes) in [
            ("device.crt", chain.as_bytes()),
            ("enrolment-ca.crt", pem(&enrolled.enrolment_ca).as_bytes()),
            ("broker-ca.crt", broker.authorities_pem.as_bytes()),
            ("root.cose", admission.root.bytes()),
            ("keyring.cose", admission.keyring.bytes()),
        ] {
            files::replace_durably(&dir.join(name), bytes, 0o644)?;
        }
        if !config.exists() {
            files::replace_durably(config, first_config(class, enrolled.product).as_bytes(), 0o644)?;
        }
        let pointer = self.base.join(POINTER);
        if let Some(parent) = pointer.parent() {
            files::ensure_dir(parent, 0o755)?;
        }
        files::replace_durably(&pointer, text.as_bytes(), 0o644)?;
        self.forget_others();
        Ok(())
    }

    /// Removes the directories of earlier enrolments: their keys are of no use any more.
    fn forget_others(&self) {
        let Ok(entries) = std::fs::read_dir(self.base.join("enrolment")) else { return };
        for entry in entries.flatten() {
            let other = entry.file_name().to_string_lossy() != self.tag;
            if other && entry.path().is_dir() {
                // What stays is a key whose certificate is revoked.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// DER as PEM (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut column = 0;
    for chunk in der.chunks(3) {
        let bytes = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let [a, b, c] = bytes;
        let word = (a << 16) | (b << 8) | c;
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let symbol = usize::try_from((word >> shift) & 63).unwrap_or(0);
            let symbol = ALPHABET.get(symbol).copied().unwrap_or(b'A');
            text.push(if index > chunk.len() { '=' } else { char::from(symbol) });
        }
        column += 4;
        if column == 64 {
            text.push('\n');
            column = 0;
        }
    }
    if column > 0 {
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// A text as a TOML string; what would need an escape is no name or address.
fn quoted(text: &str) -> Result<String, ExchangeError> {
    if text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        return Err(coterm_shared::token::MessageError.into());
    }
    Ok(format!("\"{text}\""))
}

fn pointer(
    tag: &str,
    server: &Server,
    admission: &Admission,
    broker: &BrokerPlace,
) -> Result<String, ExchangeError> {
    let Admission { enrolled, root, .. } = admission;
    let (host, name) = (quoted(&broker.host)?, quoted(&broker.server_name)?);
    let (domain, port) = (quoted(&root.trust_domain().to_string())?, broker.port);
    let (device, organization) = (&enrolled.device, enrolled.organization);
    let server = quoted(&match server.host.contains(':') {
        true => format!("[{}]:{}", server.host, server.port),
        false => server.to_string(),
    })?;
    Ok(format!(
        "# Written by `coterm-agent enroll`; it overrides agent.toml. Enrol again to change it.\n\
         device = \"{device}\"\norganization = \"{organization}\"\ntrust_domain = {domain}\n\n\
         [broker]\nhost = {host}\nport = {port}\nserver_name = {name}\nca_file = \"enrolment/{tag}/broker-ca.crt\"\n\
         certificate_file = \"enrolment/{tag}/device.crt\"\nkey_file = \"enrolment/{tag}/device.key\"\n\n\
         [trust]\nroot_file = \"enrolment/{tag}/root.cose\"\nkeyring_file = \"enrolment/{tag}/keyring.cose\"\n\n\
         [enrolment]\nserver = {server}\nca_file = \"enrolment/{tag}/enrolment-ca.crt\"\n"
    ))
}

/// The configuration of a device that had none.
fn first_config(class: Option<&str>, product: Option<u16>) -> String {
    let guessed = match product.and_then(ProductType::from_number) {
        Some(ProductType::CAMERA) => DeviceClass::Camera,
        Some(ProductType::DOOR) => DeviceClass::DoorController,
        Some(ProductType::VIEWING_STATION) => DeviceClass::ViewingStation,
        Some(ProductType::INTERCOM) => DeviceClass::Intercom,
        Some(ProductType::ALARM_CONSOLE) => DeviceClass::AlarmConsole,
        // In doubt the one that enforcement can harm least.
        Some(_) | None => DeviceClass::Sensor { life_safety: true },
    };
    let class = class.unwrap_or(guessed.name());
    format!(
        "# Configuration of coterm-agent, written by `coterm-agent enroll`. Relative paths start at this file.\n\
         # Every key with its meaning: coterm-agent config --example\n\n\
         # The integrator must confirm it. It decides how far enforcement may ever go.\nclass = \"{class}\"\n\n\
         state_dir = \"state\"\n\n\
         # What makes the device obey. `dry-run` only logs: replace it by a hook of yours.\n[[actuator]]\nkind = \"dry-run\"\n"
    )
}
