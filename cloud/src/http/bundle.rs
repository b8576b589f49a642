//! What a device needs to run, as files: its certificate and key, whom to trust, and a configuration for the agent.

use super::problem::{Problem, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coterm_certs::DeviceCertificate;
use coterm_shared::enforcement::DeviceClass;
use coterm_shared::id::OrganizationId;
use coterm_shared::product::ProductType;
use serde_json::{Value, json};

/// Where devices connect, and whose certificate they find there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name in the broker's certificate.
    pub server_name: String,
    /// The authority that signed it, PEM.
    pub ca_pem: String,
}

/// What a device must trust from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The name of the deployment inside every token.
    pub domain: String,
    /// The pinned root document.
    pub root: Vec<u8>,
    /// The newest keyring.
    pub keyring: Vec<u8>,
}

/// The files of a device's directory: `{"device", "files": [{"name", "text" | "base64"}]}`.
///
/// # Errors
/// 500 if a text has no form in the configuration file.
pub(super) fn bundle(
    organization: OrganizationId,
    product: ProductType,
    certificate: &DeviceCertificate,
    replaced: usize,
    trust: &Trust,
    broker: &BrokerAddress,
) -> Result<Value> {
    let device = certificate.device.as_str();
    let toml = agent_toml(device, organization, product, trust, broker)?;
    Ok(json!({
        "device": device,
        "certificate": {
            "serial": certificate.facts.serial.as_str(),
            "ends_at": certificate.facts.ends_at,
            "replaced": replaced,
        },
        "files": [
            { "name": "agent.toml", "text": toml },
            { "name": "device.crt", "text": certificate.certificate_pem },
            { "name": "device.key", "text": certificate.key_pem.as_str() },
            { "name": "broker-ca.crt", "text": broker.ca_pem },
            { "name": "root.cose", "base64": STANDARD.encode(&trust.root) },
            { "name": "keyring.cose", "base64": STANDARD.encode(&trust.keyring) },
        ],
    }))
}

/// The class a device of this product most likely has. When in doubt the one that enforcement can harm least.
fn likely_class(product: ProductType) -> DeviceClass {
    match product {
        ProductType::CAMERA => DeviceClass::Camera,
        ProductType::DOOR => DeviceClass::DoorController,
        ProductType::VIEWING_STATION => DeviceClass::ViewingStation,
        ProductType::INTERCOM => DeviceClass::Intercom,
        ProductType::ALARM_CONSOLE => DeviceClass::AlarmConsole,
        _ => DeviceClass::Sensor { life_safety: true },
    }
}

fn agent_toml(
    device: &str,
    organization: OrganizationId,
    product: ProductType,
    trust: &Trust,
    broker: &BrokerAddress,
) -> Result<String> {
    let class = likely_class(product).name();
    let (host, name) = (quoted(&broker.host)?, quoted(&broker.server_name)?);
    let (domain, port) = (quoted(&trust.domain)?, broker.port);
    Ok(format!(
        r#"# Configuration of coterm-agent, written by `coterm device provision`. Relative paths start at this file.
# Every key with its meaning: coterm-agent config --example

device = "{device}"
organization = "{organization}"
trust_domain = {domain}

# Guessed from the product type, {product}: the integrator must confirm it. It decides how far enforcement may ever go.
# camera, door-controller, sensor (with life_safety = true or false), life-safety-sensor, viewing-station, intercom,
# alarm-console
class = "{class}"

state_dir = "state"

[broker]
host = {host}
port = {port}
server_name = {name}
ca_file = "broker-ca.crt"
certificate_file = "device.crt"
key_file = "device.key"

[trust]
root_file = "root.cose"
keyring_file = "keyring.cose"

# What makes the device obey. `dry-run` only logs: replace it by a hook of yours.
[[actuator]]
kind = "dry-run"

# [[actuator]]
# kind = "command"
# program = "/usr/lib/coterm/hook"
"#
    ))
}

/// A text as a TOML string. Names and addresses need no escapes; what would need one is refused.
fn quoted(text: &str) -> Result<String> {
    if text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        tracing::error!(text, "the configuration holds a text that no device could be given");
        return Err(Problem::internal());
    }
    Ok(format!("\"{text}\""))
}
