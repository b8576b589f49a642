//! `coterm-cloud check broker`: an operator's own broker, proven.
//!
//! **Method.** Throw-away devices with certificates for an hour, whose keys are never on disk, made with the installation's own
//! authority, or two that the operator provisioned for this. The cloud is played with its own certificate, so the daemon must
//! stand still meanwhile. What is published to everybody is the keyring in force, byte for byte, and a root of a version no
//! device asks for; both and all sessions are taken away afterwards.

use super::check::{self, Finding, Verdict};
use super::client::{PATIENCE, Place};
use super::matrix::{Kind, Who};
use super::{Bench, Ear, Face};
use crate::app::{DATABASE_FILE, authorities};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mqtt};
use crate::mqtt::external::{ExternalBroker, ExternalConfig, LinkStatus};
use crate::ports::{Broker, Inbox};
use crate::store::sqlite::is_owned;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use coterm_certs::{Identity, Pki, Time, read_bounded_file, stranger_certificate};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Topic;
use coterm_shared::time::Seconds;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long throw-away certificates are good for.
const LIFE: Seconds = Seconds(3_600);
/// The version of the root published: no device ever asks for it.
const ROOT_VERSION: u64 = u64::MAX;

/// Which broker, and who meets it.
#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// The broker, such as mqtts://mqtt.example.com:8883; `mqtt.external` if not given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The authority of its certificate (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The cloud's client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cloud_key")]
    cloud_cert: Option<PathBuf>,
    /// The key of that certificate (PEM, mode 0600)
    #[arg(long, value_name = "FILE", requires = "cloud_cert")]
    cloud_key: Option<PathBuf>,
    /// A directory with device.crt and device.key of a device to be used; twice. Not needed where data_dir/pki has its key
    #[arg(long = "device", value_name = "DIR")]
    devices: Vec<PathBuf>,
    /// A directory with device.crt and device.key of a device whose certificate is revoked
    #[arg(long, value_name = "DIR")]
    revoked: Option<PathBuf>,
    /// How long to wait, each time, for what must not come: brokers of several nodes deliver out of order
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200)]
    settle_ms: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it; whether everything is as it must be.
///
/// # Errors
/// It could not even begin: a file, an address or an identity is missing or unusable.
pub fn run(args: &BrokerArgs, config: &Config) -> anyhow::Result<bool> {
    let mut findings = Vec::new();
    let mut told = |finding: Finding| {
        if !args.json {
            print(&finding);
        }
        findings.push(finding);
    };
    let runtime = tokio::runtime::Runtime::new().context("no threads can be started")?;
    runtime.block_on(prove(args, config, &mut told))?;
    if args.json {
        let all: Vec<_> = findings
            .iter()
            .map(|finding| {
                json!({
                    "subject": finding.subject,
                    "verdict": finding.verdict.name(),
                    "found": finding.found,
                    "hint": finding.hint,
                })
            })
            .collect();
        let _ = writeln!(std::io::stdout().lock(), "{:#}", json!({ "findings": all }));
    }
    Ok(findings.iter().all(|finding| finding.verdict != Verdict::Wrong))
}

fn print(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Good => "ok   ",
        Verdict::Wrong => "WRONG",
        Verdict::NotJudged => "-    ",
    };
    let hint = if finding.hint.is_empty() { String::new() } else { format!("; {}", finding.hint) };
    // A reader that has seen enough is no failure.
    let _ = writeln!(std::io::stdout().lock(), "{mark} {}: {}{hint}", finding.subject, finding.found);
}

/// Where the broker is and how the cloud logs in.
struct Target {
    host: String,
    port: u16,
    authorities: Vec<CertificateDer<'static>>,
    cloud: Identity,
}

async fn prove(args: &BrokerArgs, config: &Config, told: &mut dyn FnMut(Finding)) -> anyhow::Result<()> {
    let embedded = matches!(config.mqtt, Mqtt::Embedded(_));
    if embedded && args.url.is_none() {
        told(Finding::good(
            "broker",
            "it is the one in the daemon, whose access rule is part of the program; --url checks another",
        ));
        return Ok(());
    }
    if !embedded && is_owned(&config.data_dir.join(DATABASE_FILE)) {
        told(Finding::wrong(
            "daemon",
            "it runs, and a broker lets the cloud in once",
            "stop it for the minute this takes; devices go on with the tokens they hold",
        ));
        return Ok(());
    }
    let target = target(args, config)?;
    let place = Place::new(&target.host, target.port, &target.authorities).map_err(|error| anyhow!(error))?;
    let cast = cast(args, config, &place, told)?;
    let ear = Arc::new(Ear::default());
    let settings = ExternalConfig {
        publish_timeout: PATIENCE,
        max_backoff: Duration::from_secs(1),
        ..ExternalConfig::new(target.host.clone(), target.port)
    };
    let inbox = Arc::clone(&ear) as Arc<dyn Inbox>;
    let cloud = ExternalBroker::start(settings, &target.cloud, &target.authorities, inbox)?;
    let mut status = cloud.status();
    // What is waited for borrows the status, and would keep it from changing: only whether it came is kept.
    let up = tokio::time::timeout(PATIENCE, status.wait_for(|status| *status == LinkStatus::Up)).await;
    let up = up.is_ok_and(|came| came.is_ok());
    if !up {
        let reason = match &*cloud.status().borrow() {
            LinkStatus::Down { reason } => reason.clone(),
            LinkStatus::Up => String::from("it came up too late"),
        };
        told(Finding::wrong(
            "cloud",
            format!("cannot connect to {}:{}: {reason}", target.host, target.port),
            "look at address, port, the broker's certificate and authority, and that it lets the user coterm.cloud in and \
             read coterm/v1/d/+/report and coterm/v1/d/+/request",
        ));
        cloud.stop().await;
        return Ok(());
    }
    told(Finding::good("cloud", format!("connected to {}:{}", target.host, target.port)));
    let keyring = read_bounded_file(&config.data_dir.join("trust/keyring.cose")).ok();
    let known = keyring.is_some();
    let own = cast.own;
    let cloud_face = Face {
        who: Who::Cloud,
        device: own.device.clone(),
        client_id: target.cloud.facts().common_name.clone(),
        user: None,
        tls: place
            .tls(Some((target.cloud.chain().to_vec(), target.cloud.key())))
            .map_err(|error| anyhow!(error))?,
    };
    let bench = Bench {
        place,
        kind: Kind::External,
        cloud: Arc::new(cloud),
        ear,
        other: cast.other,
        foreign: cast.foreign,
        strangers: cast.strangers,
        cloud_face: Some(cloud_face.clone()),
        keyring: Arc::from(keyring.unwrap_or_else(|| b"there is no keyring yet".to_vec())),
        root_version: ROOT_VERSION,
        settle: Duration::from_millis(args.settle_ms),
        own,
    };
    check::everything(&bench, told).await;
    let mut left = vec![Topic::Root(ROOT_VERSION)];
    if !known {
        left.push(Topic::Keyring);
    }
    if let Err(error) = check::tidy(&bench.login(&cloud_face), &left).await {
        told(Finding::wrong("tidying up", error, "delete that retained message by hand"));
    }
    Ok(())
}

fn target(args: &BrokerArgs, config: &Config) -> anyhow::Result<Target> {
    let external = match &config.mqtt {
        Mqtt::External(external) => Some(external),
        Mqtt::Embedded(_) => None,
    };
    let (host, port) = match (&args.url, external) {
        (Some(url), _) => address(url)?,
        (None, Some(external)) => (external.host.clone(), external.port),
        (None, None) => bail!("no broker is named: give --url"),
    };
    let pki = config.data_dir.join("pki");
    let authorities = match (&args.ca, external) {
        (Some(file), _) => certificates(file)?,
        (None, Some(external)) => authorities(external)?.0,
        (None, None) => certificates(&pki.join("ca.crt"))
            .map_err(|error| anyhow!("{error}; or give the broker's authority with --ca"))?,
    };
    let cloud = match (&args.cloud_cert, &args.cloud_key, external) {
        (Some(certificate), Some(key), _) => load(certificate, key)?,
        (_, _, Some(external)) => load(&external.certificate_file, &external.key_file)?,
        (_, _, None) => load(&pki.join("cloud.crt"), &pki.join("cloud.key")).map_err(|error| {
            anyhow!("{error}; or give the cloud's certificate with --cloud-cert and --cloud-key")
        })?,
    };
    Ok(Target { host, port, authorities, cloud })
}

/// An identity; the system's words are in the sentence once.
fn load(certificate: &Path, key: &Path) -> anyhow::Result<Identity> {
    Identity::load(certificate, key).map_err(|error| anyhow!(error.to_string()))
}

/// Host and port of `mqtts://host:port`; the port may be left out.
fn address(url: &str) -> anyhow::Result<(String, u16)> {
    let wrong =
        || anyhow!("`{url}` is not a broker: write mqtts://host:port; without TLS nothing is checked");
    let rest = url.strip_prefix("mqtts://").ok_or_else(wrong)?.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => {
            (host, port.parse().map_err(|_| wrong())?)
        }
        Some(_) | None => (rest, 8883),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains('/') {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read_bounded_file(file).map_err(|error| anyhow!(error.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => bail!("{} holds no certificate in PEM", file.display()),
    }
}

/// Who takes part besides the cloud.
struct Cast {
    own: Face,
    other: Face,
    foreign: Option<Face>,
    strangers: Vec<Face>,
}

fn cast(
    args: &BrokerArgs,
    config: &Config,
    place: &Place,
    told: &mut dyn FnMut(Finding),
) -> anyhow::Result<Cast> {
    let now = SystemClock.now();
    let pki_dir = config.data_dir.join("pki");
    let made_here = pki_dir.join("ca.key").exists() && pki_dir.join("ca.crt").exists();
    let run = getrandom::u32().map_err(|_| anyhow!("this machine has no randomness"))?;
    let name =
        |part: &str| -> anyhow::Result<DeviceId> { Ok(format!("coterm-check-{run:08x}-{part}").parse()?) };
    let ours = OrganizationId::from_bytes([1; 16]);
    let theirs = OrganizationId::from_bytes([2; 16]);
    let mut expired = None;
    let (own, other, foreign) = match args.devices.as_slice() {
        [own, other] => (given(place, Who::Device, own)?, given(place, Who::Device, other)?, None),
        [] if made_here => {
            let pki = Pki::open_or_create(&pki_dir, move || Time::Sure(now))?;
            let make = |part: &str, organization| -> anyhow::Result<Face> {
                let made = pki.device_certificate_from(&name(part)?, organization, now, LIFE)?;
                Ok(itself(
                    Who::Device,
                    made.device.clone(),
                    place.tls_of(&made).map_err(|error| anyhow!(error))?,
                ))
            };
            let own = make("own", ours)?;
            let ended = pki.device_certificate_from(
                &own.device,
                ours,
                now.saturating_sub(Seconds(2 * LIFE.0)),
                LIFE,
            )?;
            let tls = place.tls_of(&ended).map_err(|error| anyhow!(error))?;
            expired = Some(itself(Who::Expired, own.device.clone(), tls));
            (own, make("other", ours)?, Some(make("foreign", theirs)?))
        }
        [] => bail!(
            "{} is not here, so no certificates can be made: provision two devices for this and give each directory with --device",
            pki_dir.join("ca.key").display()
        ),
        _ => bail!("give --device twice, or not at all"),
    };
    let forged = stranger_certificate(&own.device, ours, now, LIFE)?;
    let tls = |shown| place.tls(shown).map_err(|error| anyhow!(error));
    let mut strangers = vec![
        Face { who: Who::OtherClientId, client_id: other.client_id.clone(), ..own.clone() },
        Face { who: Who::OtherUserName, user: Some(other.client_id.clone()), ..own.clone() },
        itself(Who::NoCertificate, own.device.clone(), tls(None)?),
        itself(
            Who::OtherAuthority,
            own.device.clone(),
            place.tls_of(&forged).map_err(|error| anyhow!(error))?,
        ),
    ];
    match expired {
        Some(expired) => strangers.push(expired),
        None => told(Finding::not_judged(
            Who::Expired.name(),
            "no certificate that ended can be made here",
            "run this where data_dir/pki has the authority's key",
        )),
    }
    match &args.revoked {
        Some(dir) => strangers.push(given(place, Who::Revoked, dir)?),
        None => told(Finding::not_judged(
            Who::Revoked.name(),
            "none was given",
            "provision a device twice, copy data_dir/pki/revoked.crl to the broker, and give the first directory with --revoked",
        )),
    }
    Ok(Cast { own, other, foreign, strangers })
}

fn itself(who: Who, device: DeviceId, tls: Arc<rustls::ClientConfig>) -> Face {
    Face { who, client_id: device.to_string(), user: None, device, tls }
}

/// A device from its directory, as `coterm device provision` makes them.
fn given(place: &Place, who: Who, dir: &Path) -> anyhow::Result<Face> {
    let identity = load(&dir.join("device.crt"), &dir.join("device.key"))?;
    let device = identity.facts().common_name.parse().context("the certificate's common name")?;
    let tls = place.tls(Some((identity.chain().to_vec(), identity.key())));
    Ok(itself(who, device, tls.map_err(|error| anyhow!(error))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_its_address_and_only_with_tls() {
        let host = |url: &str| address(url).unwrap();
        assert_eq!(host("mqtts://mqtt.example.com:8884/"), ("mqtt.example.com".to_owned(), 8884));
        assert_eq!(host("mqtts://mqtt.example.com"), ("mqtt.example.com".to_owned(), 8883));
        assert_eq!(host("mqtts://[::1]:1"), ("::1".to_owned(), 1));
        assert_eq!(host("mqtts://[::1]"), ("::1".to_owned(), 8883));
        for wrong in ["mqtt://a:1883", "a:8883", "mqtts://", "mqtts://a:b", "mqtts://a/b"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
