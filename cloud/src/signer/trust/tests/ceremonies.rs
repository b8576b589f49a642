//! Roots and keyrings signed by people elsewhere, and keys handed over by others.

use super::*;
use crate::signer::ceremony::{Draft, SignatureFile};
use coterm_shared::token::{KeyUse, PublicKey};

fn draft(drafted: Drafted) -> Draft {
    match drafted {
        Drafted::Draft(draft) => draft,
        Drafted::Done(installed) => panic!("done: {installed:?}"),
    }
}

/// People with root keys of their own, on machines of their own.
struct People(Vec<SoftwareKey>);

impl People {
    fn new(count: usize) -> People {
        People((0..count).map(|_| SoftwareKey::generate().unwrap()).collect())
    }

    fn public(&self) -> Vec<PublicKey> {
        self.0.iter().map(|key| key.public_key().clone()).collect()
    }

    fn sign(&self, draft: &Draft, who: &[usize]) -> Vec<SignatureFile> {
        let draft = Draft::read(&draft.to_text()).unwrap();
        who.iter()
            .map(|n| draft.sign(&self.0[*n]).unwrap())
            .map(|file| SignatureFile::read(&file.to_text()).unwrap())
            .collect()
    }
}

fn assembled(draft: &Draft, signatures: &[SignatureFile]) -> Vec<u8> {
    Draft::read(&draft.to_text()).unwrap().assemble(signatures).unwrap().0
}

#[test]
fn a_root_moves_offline_to_two_of_three_and_devices_can_follow_every_step() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let (root_1, keyring_1) = trust.pair();
    let people = People::new(3);
    let plan = RootPlan { root_keys: Some(people.public()), root_threshold: Some(2), ..Default::default() };
    let draft_2 = office(&dir).draft_root(&plan).unwrap();
    let old_root = SoftwareKey::read(&dir.path().join("keys/root.key")).unwrap();
    let by_old = vec![Draft::read(&draft_2.to_text()).unwrap().sign(&old_root).unwrap()];
    let words = Draft::read(&draft_2.to_text()).unwrap().words().join("\n");
    assert!(
        words.contains("root 2")
            && words.contains("2 of these 3")
            && words.contains("GONE")
            && words.contains("NEW"),
        "{words}"
    );
    // Too few, of either root.
    for signatures in [people.sign(&draft_2, &[0, 1]), [by_old.clone(), people.sign(&draft_2, &[2])].concat()]
    {
        let bytes = assembled(&draft_2, &signatures);
        let error = office(&dir).install_root(&bytes, at(1)).unwrap_err().to_string();
        assert!(error.contains("fewer distinct keys"), "{error}");
    }
    let bytes = assembled(&draft_2, &[by_old, people.sign(&draft_2, &[0, 2])].concat());
    let installed = office(&dir).install_root(&bytes, at(1)).unwrap();
    assert_eq!(
        (installed.root, installed.keyring_root),
        (2, 2),
        "the keyring key stays, and its keyring with it"
    );
    assert_eq!(office(&dir).install_root(&bytes, at(1)).unwrap(), installed, "twice is once");
    let root_2 = root_1.update(&bytes).unwrap();
    assert_eq!(
        Keyring::verify(keyring_1.bytes(), &root_2, Some(&keyring_1)).unwrap().step(),
        KeyringStep::Unchanged
    );
    assert!(
        office(&dir).status(at(1)).unwrap().earlier_root_keys_here.len() == 1,
        "said until it is deleted"
    );
    fs::remove_file(dir.path().join("keys/root.key")).unwrap();
    assert!(trust.reload_if_changed(at(1)).unwrap());
    assert_eq!(
        (trust.root(), codes(&trust, 1)),
        (root_2.clone(), vec![]),
        "nothing is online that should not be"
    );

    // The keyring key is stolen: two of three replace it, and no keyring of the thief's counts any more.
    let old_keyring = SoftwareKey::read(&dir.path().join("keys/keyring.key")).unwrap();
    let plan = RootPlan { new_keyring_key: true, ..Default::default() };
    let draft_3 = draft(office(&dir).next_root(&plan, at(2)).unwrap());
    let bytes = assembled(&draft_3, &people.sign(&draft_3, &[1, 2]));
    let installed = office(&dir).install_root(&bytes, at(2)).unwrap();
    assert_eq!((installed.root, installed.keyring_root), (3, 3), "its keyring is made at once");
    trust.reload_if_changed(at(2)).unwrap();
    let root_3 = root_2.update(&bytes).unwrap();
    let keyring = Keyring::verify(trust.keyring().bytes(), &root_3, Some(&keyring_1)).unwrap();
    assert_eq!(keyring.step(), KeyringStep::Restarted);
    let stolen = store::sign(&keyring_1.document().unsigned().unwrap(), &[Arc::new(old_keyring)]).unwrap();
    assert!(Keyring::verify(&stolen, &root_3, None).is_err());
    assert!(!dir.path().join("keys/keyring.key").exists(), "what it signs is believed by nobody here");
    let documents = trust.subscribe().borrow().clone();
    assert_eq!(documents.roots.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 3]);
    // A start from disk comes to the same.
    let again = open(&dir, 3).unwrap();
    assert_eq!((again.pair(), signing(&again)), (trust.pair(), signing(&trust)));
}

#[test]
fn keyrings_can_be_signed_offline_too_and_the_daemon_says_when_one_is_wanted() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let (held_root, held_keyring) = trust.pair();
    let people = People::new(2);
    let plan =
        RootPlan { keyring_keys: Some(people.public()), keyring_threshold: Some(2), ..Default::default() };
    let installed = done(office(&dir).next_root(&plan, at(1)).unwrap());
    assert_eq!((installed.root, installed.keyring_root), (2, 1));
    trust.reload_if_changed(at(1)).unwrap();
    assert_eq!(
        trust.pair(),
        (held_root, held_keyring),
        "devices and new devices go on with the pair there is"
    );
    assert!(trust.rotate_if_due(at(1)).is_err());
    let alarms = codes(&trust, 1);
    assert!(
        alarms.contains(&AlarmCode::KeyringBehindRoot) && alarms.contains(&AlarmCode::KeyringNotRenewable),
        "{alarms:?}"
    );

    let draft_a = office(&dir).draft_keyring(&KeyringChange::default(), true, at(2)).unwrap();
    let words = Draft::read(&draft_a.to_text()).unwrap().words().join("\n");
    assert!(words.contains("may sign tokens") && words.contains("epoch 1"), "{words}");
    let too_few = assembled(&draft_a, &people.sign(&draft_a, &[0]));
    assert!(office(&dir).install_keyring(&too_few, at(2)).is_err());
    let bytes = assembled(&draft_a, &people.sign(&draft_a, &[0, 1]));
    let installed = office(&dir).install_keyring(&bytes, at(2)).unwrap();
    assert_eq!((installed.root, installed.keyring_root), (2, 2));
    trust.reload_if_changed(at(2)).unwrap();
    assert_eq!(trust.root().version(), 2);
    // The key for devices that enrol came with it: nobody here could sign a keyring when the first of them asks.
    let answers = trust.enrolment_signer(at(2)).unwrap();
    assert_ne!(answers.kid(), signing(&trust));
    assert_eq!(trust.keyring().key(answers.kid()).unwrap().key_use, KeyUse::ENROLMENT);
    let again = office(&dir).draft_keyring(&KeyringChange::default(), false, at(3)).unwrap();
    let uses = Draft::read(&again.to_text()).unwrap().words().join("\n").matches("enrol").count();
    assert_eq!(uses, words.matches("enrol").count(), "one is enough as long as it lasts: {words}");
    // A rotation asked for becomes a draft by itself, and one whose token key is not here is refused.
    let change = KeyringChange { replace: true, ..Default::default() };
    let draft_b = draft(office(&dir).next_keyring(&change, at(3)).unwrap());
    let bytes = assembled(&draft_b, &people.sign(&draft_b, &[0, 1]));
    for file in fs::read_dir(dir.path().join("keys")).unwrap() {
        let path = file.unwrap().path();
        let listed = trust
            .keyring()
            .keys()
            .iter()
            .any(|key| path.to_string_lossy().contains(&key.key.kid().to_string()));
        if path.to_string_lossy().contains("token-") && !listed {
            fs::remove_file(path).unwrap();
        }
    }
    let error = office(&dir).install_keyring(&bytes, at(3)).unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}

#[test]
fn the_next_key_signs_from_its_day_on_also_while_a_keyring_waits_for_signatures_made_elsewhere() {
    let dir = TempDir::new().unwrap();
    let trust = open(&dir, 0).unwrap();
    let first = signing(&trust);
    assert!(trust.rotate_if_due(at(21)).unwrap(), "the next key is announced");
    let people = People::new(1);
    let plan = RootPlan { keyring_keys: Some(people.public()), ..Default::default() };
    done(office(&dir).next_root(&plan, at(22)).unwrap());
    trust.reload_if_changed(at(22)).unwrap();
    assert!(trust.rotate_if_due(at(22)).is_err(), "the keyring under root 2 cannot be signed here");
    assert_eq!(signing(&trust), first);
    assert!(trust.rotate_if_due(at(28)).is_err());
    let second = signing(&trust);
    assert_ne!(second, first, "one lease before the end, as announced");
    assert!(trust.keyring().key(second).unwrap().not_after_at > at(35));
}

#[test]
fn a_first_root_can_be_offline_from_its_first_day() {
    let dir = TempDir::new().unwrap();
    let people = People::new(3);
    let plan = RootPlan { root_keys: Some(people.public()), root_threshold: Some(2), ..Default::default() };
    let first = office(&dir).draft_root(&plan).unwrap();
    assert!(!dir.path().join("trust/root.cose").exists(), "a draft installs nothing");
    let bytes = assembled(&first, &people.sign(&first, &[1, 2]));
    let installed = office(&dir).install_root(&bytes, at(0)).unwrap();
    assert_eq!((installed.root, installed.keyring_root), (1, 1));
    assert!(!dir.path().join("keys/root.key").exists());
    let trust = open(&dir, 0).unwrap();
    assert_eq!((trust.root().version(), codes(&trust, 0)), (1, vec![]));
}

#[test]
fn keys_that_systemd_hands_over_are_used_and_none_is_made_beside_them() {
    let (dir, credentials) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let handed: Vec<PublicKey> = ["root.key", "keyring.key"]
        .map(|name| {
            let (key, path) = (SoftwareKey::generate().unwrap(), credentials.path().join(name));
            key.create(&path).unwrap();
            // The manager's access list shows as group bits.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
            key.public_key().clone()
        })
        .to_vec();
    let with = || vault(&dir).with_credentials(Some(credentials.path().to_owned()));
    let trust = Trust::open_or_create(dir.path(), policy(), with(), at(0)).unwrap();
    assert_eq!(trust.root().document().root.keys(), &handed[..1]);
    assert_eq!(trust.root().document().keyring.keys(), &handed[1..]);
    assert!(trust.rotate_if_due(at(22)).unwrap());
    assert!(!dir.path().join("keys/keyring.key").exists());
    let path = credentials.path().join("keyring.key");
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(trust.rotate_if_due(at(43)).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn a_key_that_has_ended_signs_nothing_and_the_daemon_starts_all_the_same() {
    let dir = TempDir::new().unwrap();
    open(&dir, 0).unwrap();
    let key = dir.path().join("keys/keyring.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let trust = Trust::open_or_create(dir.path(), policy(), vault(&dir), at(200)).unwrap();
    assert!(trust.rotate_if_due(at(200)).is_err());
    assert!(trust.signer().is_err());
    let alarms = codes(&trust, 200);
    for code in [AlarmCode::TokenKeyEnds, AlarmCode::SignerUnavailable, AlarmCode::RotationFailed] {
        assert!(alarms.contains(&code), "{alarms:?}");
    }
    SoftwareKey::from_pem(&kept, &key).unwrap().create(&key).unwrap();
    assert!(trust.rotate_if_due(at(200)).unwrap());
    assert!(trust.signer().is_ok());
}

#[test]
fn a_draft_whose_parts_do_not_belong_together_is_none() {
    let dir = TempDir::new().unwrap();
    open(&dir, 0).unwrap();
    let plan = RootPlan { new_root_key: true, ..Default::default() };
    let text = office(&dir).draft_root(&plan).unwrap().to_text();
    assert!(Draft::read(&text).is_ok());
    let mut without: serde_json::Value = serde_json::from_str(&text).unwrap();
    without.as_object_mut().unwrap().remove("under");
    assert!(Draft::read(&without.to_string()).is_err(), "root 2 follows something");
    let keyring = office(&dir).draft_keyring(&KeyringChange::default(), true, at(1)).unwrap().to_text();
    assert!(Draft::read(&keyring).is_ok());
    for text in [
        text.replace("\"root\"", "\"keyring\""),
        keyring.replace("\"keyring\"", "\"root\""),
        String::from("{}"),
    ] {
        assert!(Draft::read(&text).is_err(), "{text}");
    }
    // A signature by a key nobody names is refused before it is made.
    let stranger = SoftwareKey::generate().unwrap();
    let error = Draft::read(&text).unwrap().sign(&stranger).unwrap_err().to_string();
    assert!(error.contains("named neither"), "{error}");
}
