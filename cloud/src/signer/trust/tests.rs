use super::*;
use coterm_shared::token::KeyringStep;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const LEASE: Seconds = Seconds::days(7);

fn policy() -> TrustPolicy {
    TrustPolicy {
        trust_domain: "coterm.local".parse().unwrap(),
        key_lifetime: Seconds::days(35),
        lease: LEASE,
        keep: Seconds::days(40),
    }
}

fn at(day: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000).unwrap().saturating_add(Seconds::days(day))
}

fn open(dir: &TempDir, day: u64) -> Result<Trust, TrustError> {
    Trust::open_or_create(dir.path(), policy(), at(day))
}

#[test]
fn the_first_start_makes_a_chain_that_devices_believe_and_later_starts_keep_it() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir, 0).unwrap();
    let root = Root::pinned(first.root().bytes()).unwrap();
    let keyring = Keyring::verify(first.keyring().bytes(), &root, None).unwrap();
    assert_eq!((root.version(), keyring.version(), keyring.min_epoch()), (1, 1, 1));
    let key = keyring.key(first.signer().kid()).unwrap();
    assert!(key.not_after_at <= at(35));
    let again = open(&dir, 1).unwrap();
    assert_eq!(again.keyring().bytes(), first.keyring().bytes());
    assert_eq!(again.signer().kid(), first.signer().kid());
    for file in fs::read_dir(dir.path().join("keys")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn keys_rotate_with_two_leases_notice_and_one_lease_overlap() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let mut published = trust.subscribe();
    let first = trust.signer().kid();
    assert!(!trust.rotate_if_due(at(20)).unwrap());
    assert!(trust.rotate_if_due(at(21)).unwrap(), "announced two leases before the end");
    assert!(published.has_changed().unwrap());
    assert_eq!(published.borrow_and_update().version, 2);
    assert_eq!(trust.signer().kid(), first, "devices first learn of it");
    assert!(!trust.rotate_if_due(at(28)).unwrap());
    let second = trust.signer().kid();
    assert_ne!(second, first, "used one lease before the end");
    // A year on, every keyring follows the one before and stays small.
    let mut held = trust.keyring();
    for day in 29..400 {
        trust.rotate_if_due(at(day)).unwrap();
        let keyring = Keyring::verify(trust.keyring().bytes(), trust.root(), Some(&held)).unwrap();
        assert!(matches!(keyring.step(), KeyringStep::Newer | KeyringStep::Unchanged));
        let active = keyring.key(trust.signer().kid()).unwrap();
        assert!(active.not_before_at <= at(day) && at(day) <= active.not_after_at, "day {day}");
        assert!(keyring.keys().len() <= 5, "day {day}: {}", keyring.keys().len());
        held = keyring;
    }
}

#[test]
fn a_start_after_a_long_outage_signs_with_a_valid_key() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir, 0).unwrap().signer().kid();
    let trust = open(&dir, 200).unwrap();
    let keyring = trust.keyring();
    let active = keyring.key(trust.signer().kid()).unwrap();
    assert_ne!(active.key.kid(), first);
    assert!(active.not_after_at > at(200));
}

#[test]
fn what_does_not_fit_together_is_one_clear_sentence() {
    let check = |damage: &dyn Fn(&Path), expect: &str| {
        let dir = TempDir::new().unwrap();
        open(&dir, 0).unwrap();
        damage(dir.path());
        let error = open(&dir, 1).unwrap_err().to_string();
        assert!(error.contains(expect) && !error.contains('\n'), "{error}");
    };
    let foreign = |path: PathBuf| {
        fs::remove_file(&path).unwrap();
        SoftwareKey::generate().unwrap().create(&path).unwrap();
    };
    let token_key = |dir: &Path| {
        let mut files = fs::read_dir(dir.join("keys")).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("token-")).unwrap()
    };
    check(&|dir| foreign(dir.join("keys/keyring.key")), "keyring.key is not a key that");
    check(&|dir| foreign(token_key(dir)), "is not a key that");
    check(&|dir| fs::remove_file(token_key(dir)).unwrap(), "cannot read");
    check(&|dir| fs::remove_file(dir.join("trust/root.cose")).unwrap(), "root.cose is missing, but");
    check(&|dir| fs::write(dir.join("trust/keyring.cose"), b"x").unwrap(), "keyring.cose: ");
    check(
        &|dir| fs::set_permissions(dir.join("keys/keyring.key"), fs::Permissions::from_mode(0o640)).unwrap(),
        "chmod 600",
    );
    let dir = TempDir::new().unwrap();
    open(&dir, 0).unwrap();
    let other = TrustPolicy { trust_domain: "other.example".parse().unwrap(), ..policy() };
    let error = Trust::open_or_create(dir.path(), other, at(1)).unwrap_err().to_string();
    assert!(error.contains("set trust_domain = \"coterm.local\""), "{error}");
}

#[test]
fn a_first_start_cut_short_goes_on_at_the_next() {
    // Every file is written in one order; whatever prefix of it a crash left, the next start completes.
    let dir = TempDir::new().unwrap();
    open(&dir, 0).unwrap();
    let names = ["trust/keyring.cose", "trust/root.cose", "keys/keyring.key", "keys/root.key"];
    for cut in 1..=names.len() {
        for name in &names[..cut] {
            let _ = fs::remove_file(dir.path().join(name));
        }
        let trust = open(&dir, 0).unwrap();
        assert!(trust.keyring().key(trust.signer().kid()).is_some(), "{cut}");
    }
}
