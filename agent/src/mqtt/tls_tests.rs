//! Handshakes in memory, at trusted times that are early, right and late.

use super::*;
use crate::test_support::at;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::server::ServerConnection;
use rustls::{ClientConnection, ServerConfig};
use std::path::Path;

struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate authority valid from one year's beginning to another's.
fn authority(from: i32, to: i32) -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, issuer: Issuer::new(params, key) }
}

/// A certificate and key for `name`, PEM.
fn issue(authority: &Authority, name: &str, from: i32, to: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &authority.issuer).unwrap().pem(), key.serialize_pem())
}

/// The same through an intermediate authority, with its certificate in the chain.
fn issue_through(root: &Authority, until: i32, name: &str, from: i32, to: i32) -> (String, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &root.issuer).unwrap();
    let between = Authority { certificate, issuer: Issuer::new(params, key) };
    let (leaf, key) = issue(&between, name, from, to);
    (leaf + &between.certificate.pem(), key)
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Whether a device that believes in `ca` at `now` shakes hands with a server of this certificate.
fn shakes_hands(ca: &Authority, server: &(String, String), name: &str, now: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let device = issue(ca, "cam-1", 2020, 2040);
    let broker = Broker {
        host: "192.0.2.1".to_owned(),
        port: 8883,
        server_name: name.to_owned(),
        ca_file: write(dir.path(), "ca.crt", &ca.certificate.pem()),
        certificate_file: write(dir.path(), "device.crt", &device.0),
        key_file: write(dir.path(), "device.key", &device.1),
    };
    let trusted = Arc::new(TrustedNow::default());
    trusted.set(now.parse().unwrap());
    let config = client_config(&broker, trusted).unwrap();
    let chain = CertificateDer::pem_slice_iter(server.0.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.1.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    // The name dialled is an address: only the configured name counts.
    let mut client =
        ClientConnection::new(Arc::new(config), ServerName::try_from("192.0.2.1").unwrap()).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| error.to_string())?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| error.to_string())?;
    }
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    if client.is_handshaking() { Err("never ended".to_owned()) } else { Ok(()) }
}

#[test]
fn certificates_are_judged_at_trusted_time_which_is_only_a_lower_bound() {
    let ca = authority(2026, 2036);
    let server = issue(&ca, "broker.example", 2027, 2028);
    for (now, fine) in [
        ("1970-01-01T00:00:00Z", true),
        ("2026-06-01T00:00:00Z", true),
        ("2027-06-01T00:00:00Z", true),
        ("2028-01-01T00:00:01Z", false),
        ("2050-01-01T00:00:00Z", false),
    ] {
        let shaken = shakes_hands(&ca, &server, "broker.example", now);
        assert_eq!(shaken.is_ok(), fine, "{now}: {shaken:?}");
    }
}

#[test]
fn an_early_clock_excuses_nothing_else() {
    const EARLY: &str = "1970-01-01T00:00:00Z";
    const NAME: &str = "broker.example";
    let ca = authority(2026, 2027);
    let good = issue(&ca, "broker.example", 2026, 2028);
    assert_eq!(shakes_hands(&ca, &good, NAME, EARLY), Ok(()));
    assert_eq!(shakes_hands(&ca, &issue_through(&ca, 2030, NAME, 2028, 2029), NAME, EARLY), Ok(()));
    let refused = [
        ("another name", shakes_hands(&ca, &good, "other.example", EARLY)),
        ("another authority", shakes_hands(&authority(2026, 2036), &good, "broker.example", EARLY)),
        // When it begins its authority has ended: there is no time at which both hold.
        ("no common time", shakes_hands(&ca, &issue_through(&ca, 2027, NAME, 2028, 2029), NAME, EARLY)),
    ];
    for (what, shaken) in refused {
        assert!(shaken.is_err(), "{what}");
    }
}

#[test]
fn a_device_without_a_usable_identity_is_told_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let ca = authority(2026, 2036);
    let device = issue(&ca, "cam-1", 2026, 2036);
    let broker = Broker {
        host: "localhost".to_owned(),
        port: 8883,
        server_name: "localhost".to_owned(),
        ca_file: write(dir.path(), "ca.crt", &ca.certificate.pem()),
        certificate_file: write(dir.path(), "device.crt", &device.0),
        key_file: write(dir.path(), "device.key", &device.1),
    };
    let config =
        |broker: &Broker| client_config(broker, Arc::default()).map(drop).map_err(|error| error.to_string());
    assert_eq!(config(&broker), Ok(()));
    let other = write(dir.path(), "other.key", &issue(&ca, "cam-2", 2026, 2036).1);
    for (bad, want) in [
        (Broker { key_file: other, ..broker.clone() }, "do not work together"),
        (Broker { ca_file: write(dir.path(), "empty", ""), ..broker.clone() }, "no PEM certificate"),
        (Broker { certificate_file: dir.path().join("missing"), ..broker.clone() }, "missing"),
        (Broker { server_name: "a b".to_owned(), ..broker.clone() }, "broker.server_name"),
    ] {
        let error = config(&bad).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    std::fs::set_permissions(&broker.key_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(config(&broker).unwrap_err().contains("chmod 600"));
    // The check command reads the end out of real certificates.
    let trusted = TrustedNow::default();
    trusted.set(at(5));
    assert_eq!(trusted.current_time().map(|time| time.as_secs()), Some(5));
}
