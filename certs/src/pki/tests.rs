use super::*;
use crate::revocation::Revoked;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const START: u64 = 1_800_000_000;
const OURS: OrganizationId = OrganizationId::from_bytes([1; 16]);

fn start() -> Timestamp {
    Timestamp::from_secs_clamped(START)
}

fn sure_start() -> Time {
    Time::Sure(start())
}

/// 397 days are two thirds over after 265 of them.
fn nine_months_later() -> Timestamp {
    start().saturating_add(Seconds::days(270))
}

fn names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]
}

fn fresh() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&dir.path().join("pki"), sure_start).unwrap();
    (dir, pki)
}

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

#[test]
fn opening_twice_changes_nothing() {
    let (_dir, first) = fresh();
    let server = first.server_identity(&names()).unwrap();
    let again = Pki::open_or_create(&first.dir, sure_start).unwrap();
    assert_eq!(again.ca_certificate(), first.ca_certificate());
    assert_eq!(again.server_identity(&names()).unwrap().chain(), server.chain());
}

#[test]
fn keys_are_private_and_the_directory_too() {
    let (_dir, pki) = fresh();
    pki.server_identity(&names()).unwrap();
    pki.cloud_identity().unwrap();
    assert_eq!(std::fs::metadata(&pki.dir).unwrap().mode() & 0o7777, 0o700);
    for key in ["ca.key", "server.key", "cloud.key"] {
        assert_eq!(std::fs::metadata(pki.dir.join(key)).unwrap().mode() & 0o7777, 0o600, "{key}");
    }
    // Public, as the other certificates are: a broker that runs as another user reads a copy of it.
    assert_eq!(std::fs::metadata(pki.dir.join("ca.crt")).unwrap().mode() & 0o7777, 0o644);
    std::fs::set_permissions(pki.dir.join("ca.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Pki::open_or_create(&pki.dir, sure_start).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_device_is_known_by_its_common_name_and_can_only_be_a_client() {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_dir, pki) = fresh();
    let issued = pki.device_certificate(&device("cam-1"), OURS).unwrap();
    assert_eq!(issued.facts.common_name, "cam-1");
    assert_eq!(issued.facts.organization, Some(OURS), "and whose it is");
    assert!(issued.facts.ends_at > start().saturating_add(Seconds::days(1_800)));
    assert!(issued.facts.ends_at < CertificateFacts::from_der(pki.ca_certificate()).unwrap().ends_at);
    let pem = rustls_pki_types::pem::PemObject::from_pem_slice(issued.certificate_pem.as_bytes());
    let der: CertificateDer<'_> = pem.unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!parsed.is_ca());
    assert!(is_signed_by(&der, pki.ca_certificate()));
    let other = pki.device_certificate(&device("cam-1"), OURS).unwrap();
    assert_ne!(other.facts.serial, issued.facts.serial, "every certificate can be revoked alone");
}

#[test]
fn a_server_certificate_is_renewed_when_it_should_be() {
    let (_dir, pki) = fresh();
    let first = pki.server_identity(&names()).unwrap();
    assert_eq!(first.facts().names, names());

    let later = Pki::open_or_create(&pki.dir, || Time::Sure(nine_months_later())).unwrap();
    let renewed = later.server_identity(&names()).unwrap();
    assert!(renewed.ends_at() > first.ends_at(), "two thirds of its life were over");

    let other_names = vec!["broker.example".to_owned()];
    let renamed = later.server_identity(&other_names).unwrap();
    assert_eq!(renamed.facts().names, other_names);
    assert!(matches!(later.server_identity(&[]), Err(PkiError::NoServerName)));
    assert!(matches!(later.server_identity(&["bad name\u{e9}".to_owned()]), Err(PkiError::Issue { .. })));
}

#[test]
fn what_a_clock_far_ahead_made_is_made_again_once_the_time_is_believed() {
    let (_dir, pki) = fresh();
    pki.server_identity(&names()).unwrap();
    let ahead = Pki::open_or_create(&pki.dir, || Time::Sure(nine_months_later())).unwrap();
    let made_ahead = ahead.server_identity(&names()).unwrap();
    assert!(made_ahead.facts().starts_at > start());
    let doubting = Pki::open_or_create(&pki.dir, || Time::Doubted(start())).unwrap();
    assert_eq!(doubting.server_identity(&names()).unwrap().chain(), made_ahead.chain(), "it can wait");
    let right = pki.server_identity(&names()).unwrap();
    assert!(right.facts().starts_at <= start() && right.ends_at() < made_ahead.ends_at());
    assert_eq!(pki.server_identity(&names()).unwrap().chain(), right.chain(), "once is enough");
}

#[test]
fn while_the_time_is_in_doubt_no_certificate_is_made_that_can_wait() {
    let (_dir, pki) = fresh();
    let first = pki.server_identity(&names()).unwrap();
    let doubting = Pki::open_or_create(&pki.dir, || Time::Doubted(nine_months_later())).unwrap();
    assert_eq!(doubting.server_identity(&names()).unwrap().chain(), first.chain(), "due, and still good");
    // These cannot wait: without them nobody is served.
    assert!(doubting.enrolment_identity(&names()).is_ok(), "there is none");
    let other_names = vec!["broker.example".to_owned()];
    assert_eq!(doubting.server_identity(&other_names).unwrap().facts().names, other_names);
    let after_its_end = || Time::Doubted(start().saturating_add(Seconds::days(2_000)));
    let long_after = Pki::open_or_create(&pki.dir, after_its_end).unwrap();
    assert!(long_after.server_identity(&other_names).unwrap().ends_at() > after_its_end().at());
}

#[test]
fn whatever_a_crash_left_the_next_start_repairs() {
    let (_dir, pki) = fresh();
    let server = pki.server_identity(&names()).unwrap();
    // Between key and certificate.
    std::fs::remove_file(pki.dir.join("server.crt")).unwrap();
    let again = pki.server_identity(&names()).unwrap();
    assert_eq!(again.facts().public_key_der, server.facts().public_key_der);
    // A certificate that belongs to another key.
    std::fs::remove_file(pki.dir.join("server.key")).unwrap();
    let other = pki.server_identity(&names()).unwrap();
    assert_ne!(other.facts().public_key_der, server.facts().public_key_der);
    // A cut-off certificate.
    std::fs::write(pki.dir.join("server.crt"), "-----BEGIN CERT").unwrap();
    assert!(pki.server_identity(&names()).is_ok());
    // The authority's key before its certificate.
    std::fs::remove_file(pki.dir.join("ca.crt")).unwrap();
    let reopened = Pki::open_or_create(&pki.dir, sure_start).unwrap();
    assert!(is_signed_by(reopened.server_identity(&names()).unwrap().chain().first().unwrap(), &reopened.ca));
}

#[test]
fn without_its_key_an_authority_still_serves_and_says_so() {
    let (_dir, pki) = fresh();
    pki.server_identity(&names()).unwrap();
    std::fs::remove_file(pki.dir.join("ca.key")).unwrap();
    let pki = Pki::open_or_create(&pki.dir, sure_start).unwrap();
    assert!(pki.server_identity(&names()).is_ok());
    assert!(matches!(pki.device_certificate(&device("cam-1"), OURS), Err(PkiError::NoAuthorityKey { .. })));
}

#[test]
fn a_foreign_key_is_noticed_at_once() {
    let (_dir, pki) = fresh();
    let (_other_dir, other) = fresh();
    std::fs::copy(other.dir.join("ca.key"), pki.dir.join("ca.key")).unwrap();
    assert!(matches!(Pki::open_or_create(&pki.dir, sure_start), Err(PkiError::AuthorityMismatch { .. })));
}

#[test]
fn two_programs_starting_together_agree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki");
    std::fs::create_dir(&path).unwrap();
    let authorities: Vec<_> = std::thread::scope(|scope| {
        let opened: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Pki::open_or_create(&path, sure_start).unwrap())).collect();
        opened.into_iter().map(|thread| thread.join().unwrap().ca).collect()
    });
    assert!(authorities.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn revocation_is_kept_and_a_damaged_list_is_not_ignored() {
    let (_dir, pki) = fresh();
    assert!(pki.revoked().unwrap().is_empty());
    let stolen = pki.device_certificate(&device("cam-1"), OURS).unwrap().facts.serial;
    pki.revoke(&stolen).unwrap();
    assert_eq!(pki.revoke(&stolen).unwrap().len(), 1);
    assert!(pki.revoked().unwrap().contains(&stolen));
    let commented = format!("# stolen in May\n{stolen}  # cam-1\n\n");
    std::fs::write(pki.revoked_file(), commented).unwrap();
    assert!(pki.revoked().unwrap().contains(&stolen));
    std::fs::write(pki.revoked_file(), format!("{stolen}\ncam-2\n")).unwrap();
    assert!(matches!(pki.revoked(), Err(PkiError::RevokedLine { line: 2, .. })));
}

#[test]
fn a_new_certificate_takes_the_place_of_every_older_one_of_the_same_device() {
    let (_dir, pki) = fresh();
    let issue = |name: &str, expected: usize| {
        let serial = pki.device_certificate(&device(name), OURS).unwrap().facts.serial;
        assert_eq!(pki.keep_only(&device(name), &serial).unwrap(), expected, "{name}");
        serial
    };
    let first = issue("cam-1", 0);
    let other = issue("cam-2", 0);
    let second = issue("cam-1", 1);
    let third = issue("cam-1", 1);
    assert_eq!(pki.revoked().unwrap(), Revoked::from([first, second]));
    // As after a crash between both lists.
    pki.revoke(&third).unwrap();
    let fourth = issue("cam-1", 1);
    let revoked = pki.revoked().unwrap();
    assert!(revoked.len() == 3 && !revoked.contains(&fourth) && !revoked.contains(&other));
}

#[test]
fn revocations_at_once_lose_none() {
    let (_dir, pki) = fresh();
    let serials: Vec<_> =
        (0..8).map(|_| pki.device_certificate(&device("cam-1"), OURS).unwrap().facts.serial).collect();
    std::thread::scope(|scope| {
        for serial in &serials {
            scope.spawn(|| pki.revoke(serial).unwrap());
        }
    });
    assert_eq!(pki.revoked().unwrap().len(), serials.len());
}

#[test]
fn check_sees_every_certificate() {
    let (_dir, pki) = fresh();
    let server = pki.server_identity(&names()).unwrap();
    let files = pki.files();
    assert_eq!(files[1].state, FileState::EndsAt(server.ends_at()));
    assert_eq!(files[2].state, FileState::Missing);
    std::fs::write(pki.dir.join("cloud.crt"), "junk").unwrap();
    assert!(matches!(pki.files()[2].state, FileState::Unusable(_)));
}

#[test]
fn the_key_does_not_print() {
    let (_dir, pki) = fresh();
    let printed = format!("{:?}", pki.server_identity(&names()).unwrap());
    assert!(!printed.to_lowercase().contains("key:"), "{printed}");
}

#[test]
fn no_device_can_be_named_like_the_cloud() {
    let (_dir, pki) = fresh();
    let cloud = pki.cloud_identity().unwrap();
    assert!(cloud.facts().common_name.parse::<DeviceId>().is_err());
}
