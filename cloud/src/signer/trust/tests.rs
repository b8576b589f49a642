use super::*;
use crate::signer::SoftwareKey;
use coterm_shared::token::{KeyringStep, Kid};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

mod ceremonies;

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

fn vault(dir: &TempDir) -> Vault {
    Vault::files(dir.path().join("keys"))
}

fn office(dir: &TempDir) -> Office {
    Office::open(dir.path(), policy(), vault(dir))
}

/// As the daemon starts.
fn open(dir: &TempDir, day: u64) -> Result<Trust, TrustError> {
    let trust = Trust::open_or_create(dir.path(), policy(), vault(dir), at(day))?;
    trust.rotate_if_due(at(day))?;
    Ok(trust)
}

fn signing(trust: &Trust) -> Kid {
    trust.signer().unwrap().kid()
}

#[test]
fn the_first_start_makes_a_chain_that_devices_believe_and_later_starts_keep_it() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir, 0).unwrap();
    let root = Root::pinned(first.root().bytes()).unwrap();
    let keyring = Keyring::verify(first.keyring().bytes(), &root, None).unwrap();
    assert_eq!((root.version(), keyring.version(), keyring.min_epoch()), (1, at(0).as_secs(), 1));
    let key = keyring.key(signing(&first)).unwrap();
    assert!(key.not_after_at <= at(35));
    let again = open(&dir, 1).unwrap();
    assert_eq!(again.keyring().bytes(), first.keyring().bytes());
    assert_eq!(signing(&again), signing(&first));
    for file in fs::read_dir(dir.path().join("keys")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn keys_rotate_with_two_leases_notice_and_one_lease_overlap() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let mut published = trust.subscribe();
    let first = signing(&trust);
    assert!(!trust.rotate_if_due(at(20)).unwrap());
    assert!(trust.rotate_if_due(at(21)).unwrap(), "announced two leases before the end");
    assert!(published.has_changed().unwrap());
    assert_eq!(published.borrow_and_update().keyring_version, at(21).as_secs());
    assert_eq!(signing(&trust), first, "devices first learn of it");
    assert!(!trust.rotate_if_due(at(28)).unwrap());
    let second = signing(&trust);
    assert_ne!(second, first, "used one lease before the end");
    // A year on, every keyring follows the one before and stays small.
    let mut held = trust.keyring();
    let mut signed = Vec::new();
    for day in 29..400 {
        trust.rotate_if_due(at(day)).unwrap();
        signed.push((day, signing(&trust)));
        let keyring = Keyring::verify(trust.keyring().bytes(), &trust.root(), Some(&held)).unwrap();
        assert!(matches!(keyring.step(), KeyringStep::Newer | KeyringStep::Unchanged));
        let active = keyring.key(signing(&trust)).unwrap();
        assert!(active.not_before_at <= at(day) && at(day) <= active.not_after_at, "day {day}");
        // Overlap: whatever was signed within a lease can still be read, and the key that signs will be listed for one.
        for (_, kid) in signed.iter().filter(|(on, _)| on + 7 >= day) {
            assert!(keyring.key(*kid).is_some(), "day {day}: {kid}");
        }
        assert!(keyring.keys().len() <= 5, "day {day}: {}", keyring.keys().len());
        held = keyring;
    }
}

#[test]
fn a_start_after_a_long_outage_signs_with_a_valid_key() {
    let dir = TempDir::new().unwrap();
    let first = signing(&open(&dir, 0).unwrap());
    let trust = open(&dir, 200).unwrap();
    let keyring = trust.keyring();
    let active = keyring.key(signing(&trust)).unwrap();
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
    check(&|dir| foreign(token_key(dir)), "does not hold the key it is named after");
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
    let error = Trust::open_or_create(dir.path(), other, vault(&dir), at(1)).unwrap_err().to_string();
    assert!(error.contains("set trust_domain = \"coterm.local\""), "{error}");
}

#[test]
fn a_first_start_cut_short_goes_on_at_the_next() {
    // Every file is written in one order; whatever prefix of it a crash left, the next start completes.
    let dir = TempDir::new().unwrap();
    open(&dir, 0).unwrap();
    let names =
        ["trust/keyring.cose", "trust/root.cose", "trust/roots/1.cose", "keys/keyring.key", "keys/root.key"];
    for cut in 1..=names.len() {
        for name in &names[..cut] {
            let _ = fs::remove_file(dir.path().join(name));
        }
        let trust = open(&dir, 0).unwrap();
        assert!(trust.keyring().key(signing(&trust)).is_some(), "{cut}");
    }
}

/// Days to the end of every key in the keyring, and whether it signs.
fn keys(dir: &TempDir, day: u64) -> Vec<(u64, bool)> {
    let status = office(dir).status(at(day)).unwrap();
    status.token_keys.iter().map(|key| (key.days_left, key.signs)).collect()
}

fn done(drafted: Drafted) -> Installed {
    match drafted {
        Drafted::Done(installed) => installed,
        Drafted::Draft(draft) => panic!("a draft: {}", draft.to_text()),
    }
}

fn codes(trust: &Trust, day: u64) -> Vec<AlarmCode> {
    trust.conditions(at(day)).into_iter().map(|condition| condition.code).collect()
}

#[test]
fn private_keys_that_can_sign_nothing_any_more_do_not_lie_about() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    for day in 1..400 {
        trust.rotate_if_due(at(day)).unwrap();
        let files = fs::read_dir(dir.path().join("keys")).unwrap().count();
        assert!(files <= 2 + 4, "day {day}: {files} files");
    }
}

#[test]
fn the_daemon_takes_over_what_an_operator_rotates_and_revokes() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let mut published = trust.subscribe();
    let first = signing(&trust);
    assert!(!trust.reload_if_changed(at(1)).unwrap());
    let rotated = done(
        office(&dir).next_keyring(&KeyringChange { replace: true, ..Default::default() }, at(1)).unwrap(),
    );
    assert!(trust.reload_if_changed(at(1)).unwrap());
    assert!(!trust.reload_if_changed(at(1)).unwrap());
    assert_eq!(Some(signing(&trust).to_string()), rotated.token_key, "used at once");
    assert_eq!(published.borrow_and_update().keyring_version, rotated.keyring);
    assert_eq!(keys(&dir, 1), [(0, false), (35, true)]);
    assert!(trust.keyring().key(first).is_some(), "what it signed can still be read");

    let stolen = signing(&trust);
    let change = KeyringChange { revoke: vec![stolen], raise_epoch: true, ..Default::default() };
    done(office(&dir).next_keyring(&change, at(2)).unwrap());
    trust.reload_if_changed(at(2)).unwrap();
    assert!(trust.keyring().key(stolen).is_none() && signing(&trust) != stolen);
    assert_eq!((trust.epoch(), trust.keyring().issued_at()), (2, at(2)));
    assert!(!dir.path().join(format!("keys/token-{stolen}.key")).exists(), "nor does its private half stay");
    let error = office(&dir).next_keyring(&change, at(3)).unwrap_err().to_string();
    assert!(error.contains("no key") && error.contains("keys status"), "{error}");
}

#[test]
fn a_revoked_key_signs_nothing_even_if_its_successor_cannot_be_used() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let change = KeyringChange { revoke: vec![signing(&trust)], ..Default::default() };
    let new = done(office(&dir).next_keyring(&change, at(1)).unwrap()).token_key.unwrap();
    let path = dir.path().join(format!("keys/token-{new}.key"));
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    trust.reload_if_changed(at(1)).unwrap();
    assert!(trust.signer().is_err());
    assert!(codes(&trust, 1).contains(&AlarmCode::SignerUnavailable));
    SoftwareKey::from_pem(&kept, &path).unwrap().create(&path).unwrap();
    trust.rotate_if_due(at(1)).unwrap();
    assert_eq!(signing(&trust).to_string(), new, "taken up again by itself");
    assert!(!codes(&trust, 1).contains(&AlarmCode::SignerUnavailable));
}

#[test]
fn a_restored_backup_makes_keyrings_devices_have_not_seen() {
    let (dir, devices) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    open(&dir, 0).unwrap();
    let backup = fs::read(dir.path().join("trust/keyring.cose")).unwrap();
    done(office(&dir).next_keyring(&KeyringChange::default(), at(3)).unwrap());
    let held = open(&dir, 3).unwrap().keyring();
    fs::write(dir.path().join("trust/keyring.cose"), backup).unwrap();
    done(office(&dir).next_keyring(&KeyringChange::default(), at(4)).unwrap());
    let trust = open(&dir, 4).unwrap();
    let taken = Keyring::verify(trust.keyring().bytes(), &trust.root(), Some(&held)).unwrap();
    assert_eq!(taken.step(), KeyringStep::Newer);
    drop(devices);
}

#[test]
fn a_failed_rotation_keeps_the_old_key_and_alarms_until_it_works() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let (first, keyring) = (signing(&trust), dir.path().join("keys/keyring.key"));
    let kept = fs::read(&keyring).unwrap();
    fs::remove_file(&keyring).unwrap();
    assert!(trust.rotate_if_due(at(22)).is_err());
    assert_eq!(signing(&trust), first);
    let alarms = codes(&trust, 22);
    assert!(
        alarms.contains(&AlarmCode::RotationFailed) && alarms.contains(&AlarmCode::KeyringNotRenewable),
        "{alarms:?}"
    );
    assert!(!alarms.contains(&AlarmCode::TokenKeyEnds));
    assert!(codes(&trust, 29).contains(&AlarmCode::TokenKeyEnds), "a lease before the end it is loud");
    SoftwareKey::from_pem(&kept, &keyring).unwrap().create(&keyring).unwrap();
    assert!(trust.rotate_if_due(at(29)).unwrap());
    assert_eq!(codes(&trust, 29), [AlarmCode::RootKeyOnline], "the hint of every fresh installation");
}

#[test]
fn a_keyring_put_back_as_it_was_ends_the_alarm() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let (keyring, away) = (dir.path().join("trust/keyring.cose"), dir.path().join("away"));
    fs::rename(&keyring, &away).unwrap();
    assert!(trust.reload_if_changed(at(1)).is_err());
    assert!(codes(&trust, 1).contains(&AlarmCode::TrustUnreadable));
    fs::rename(&away, &keyring).unwrap();
    assert!(!trust.reload_if_changed(at(1)).unwrap());
    assert!(!codes(&trust, 1).contains(&AlarmCode::TrustUnreadable));
}

#[test]
fn a_change_of_roots_cut_short_at_any_write_is_finished_by_the_next_start() {
    let prepare = || {
        let dir = TempDir::new().unwrap();
        let trust = open(&dir, 0).unwrap();
        let before = trust.pair();
        let plan = RootPlan { new_keyring_key: true, new_root_key: true, ..Default::default() };
        (dir, before, plan)
    };
    let (whole, _, plan) = prepare();
    done(office(&whole).next_root(&plan, at(1)).unwrap());
    // What a kill leaves is a prefix of: keys, roots/2, root, keyring.
    for cut in 0..4 {
        let (dir, before, plan) = prepare();
        done(office(&dir).next_root(&plan, at(1)).unwrap());
        let root_2 = fs::read(dir.path().join("trust/root.cose")).unwrap();
        if cut < 3 {
            fs::write(dir.path().join("trust/keyring.cose"), before.1.bytes()).unwrap();
        }
        if cut < 2 {
            fs::write(dir.path().join("trust/root.cose"), before.0.bytes()).unwrap();
        }
        if cut < 1 {
            fs::remove_file(dir.path().join("trust/roots/2.cose")).unwrap();
        }
        let trust = open(&dir, 2).unwrap();
        let (root, keyring) = trust.pair();
        assert!(Keyring::verify(keyring.bytes(), &root, None).is_ok());
        assert_eq!(root.version(), if cut < 2 { 1 } else { 2 }, "{cut}");
        assert!(trust.signer().is_ok());
        // Typed again, the command comes to its end.
        let installed = office(&dir).install_root(&root_2, at(2)).unwrap();
        assert_eq!((installed.root, installed.keyring_root), (2, 2), "{cut}");
    }
}

#[test]
fn who_changes_keys_waits_for_who_does_already() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let lock = trust.store.files.lock().unwrap();
    assert!(trust.store.files.try_lock().unwrap().is_none());
    fs::write(dir.path().join("trust/keyring.cose"), b"half of").unwrap();
    assert!(!trust.reload_if_changed(at(1)).unwrap(), "what is being written is not read");
    drop(lock);
    // And what was damaged is not taken over, but said.
    assert!(trust.reload_if_changed(at(1)).is_err());
    assert!(trust.signer().is_ok());
    assert!(codes(&trust, 1).contains(&AlarmCode::TrustUnreadable));
}
