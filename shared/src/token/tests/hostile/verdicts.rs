//! What the verifier makes of the hostile set, and when it looks at a signature.

use super::{Case, cases, deployment};
use crate::token::tests::support;
use crate::token::*;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The attacks of THREATS.md that are no message, and the tests that show them.
const WITHOUT_BYTES: [(&str, &str); 2] = [
    ("cloned_disk", "shared/src/token/tests/attacks.rs"),
    ("restored_state_file", "shared/src/token/tests/attacks.rs"),
];

/// The device the set is aimed at.
struct Victim {
    root: Root,
    keyring: Keyring,
    held: Held,
    expected: Expected,
}

impl Victim {
    fn new() -> Victim {
        Victim {
            root: support::root(),
            keyring: support::keyring(),
            held: support::mark_of(&support::token()),
            expected: support::expected(),
        }
    }

    /// What it says to a message: the code and the step of the refusal, or nothing; and how many signatures it checked.
    fn verdict(&self, case: &Case) -> (Option<(&'static str, u8)>, usize) {
        let of_trust = |refusal: TrustRefusal| (refusal.code(), refusal.step());
        let before = super::super::signatures_checked();
        let refusal = match case.subject {
            "token" => verify_token(&case.bytes, &self.keyring, &self.expected, Some(&self.held), None)
                .err()
                .map(|refusal| (refusal.code(), refusal.step())),
            "keyring" => Keyring::verify(&case.bytes, &self.root, Some(&self.keyring)).err().map(of_trust),
            "root" => self.root.update(&case.bytes).err().map(of_trust),
            other => panic!("{other} is no subject"),
        };
        (refusal, super::super::signatures_checked() - before)
    }
}

#[test]
fn every_hostile_message_is_refused_for_its_own_reason() {
    let victim = Victim::new();
    let wrong: Vec<String> = cases()
        .iter()
        .filter_map(|case| {
            let found = victim.verdict(case).0.map(|(code, _)| code);
            let wanted = Some(case.refusal);
            (found != wanted)
                .then(|| format!("{}: {}: {found:?} instead of {wanted:?}", case.subject, case.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of them are not:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_deployment_of_the_set_is_that_of_the_other_tests() {
    use deployment::*;
    assert_eq!(root_by(&root(1), &[11, 12]), support::root().bytes());
    assert_eq!(keyring_by(&keyring(), &[21]), support::keyring().bytes());
    assert_eq!(token(&claims(), 31), support::token());
    // And what differs from the hostile ones by its truth alone is accepted.
    let accepted = [
        ("root", root_by(&next_root(), &[12, 13])),
        ("keyring", keyring_by(&keyring_version(6), &[21])),
        ("token", token(&claims_at(ISSUED + DAY), 31)),
        ("token", token(&claims(), 31)),
        ("keyring", keyring_by(&keyring(), &[22])),
    ];
    for (subject, bytes) in accepted {
        let case = Case { subject, attack: "", refusal: "", name: String::new(), bytes };
        assert_eq!(Victim::new().verdict(&case).0, None, "{subject}");
    }
}

#[test]
fn every_refusal_is_met_by_the_set() {
    let met: BTreeSet<&str> = cases().iter().map(|case| case.refusal).collect();
    let token = TokenRefusal::ALL.iter().map(|refusal| refusal.code());
    let trust = TrustRefusal::ALL.iter().map(|refusal| refusal.code());
    assert_eq!(met, token.chain(trust).collect());
}

#[test]
fn every_attack_of_the_threat_table_is_met_by_the_set_or_by_a_test() {
    let threats = include_str!("../../../../docs/THREATS.md");
    let section = threats.split_once("## 1. The token").unwrap().1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let attacks: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Attack"))
        .map(|row| row.trim_end_matches(" |").rsplit_once(" | ").unwrap().1.split('`').nth(1).unwrap())
        .collect();
    let cases = cases();
    let met: BTreeSet<&str> = cases.iter().map(|case| case.attack).collect();
    let shown: BTreeSet<&str> = WITHOUT_BYTES.iter().map(|(attack, _)| *attack).collect();
    assert_eq!(met.intersection(&shown).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(attacks, met.union(&shown).copied().collect());
    for (attack, path) in WITHOUT_BYTES {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let source = std::fs::read_to_string(path).unwrap();
        assert!(source.contains(&format!("fn {attack}(")), "{attack}");
    }
}

/// P5: whoever has no key costs a device no signature check: every refusal of steps 1 to 4 of a token, and 1 to 6 of
/// a keyring or root, comes before the first; and behind it there are never more than there are keys to count.
#[test]
fn junk_is_refused_before_any_signature_work() {
    let mut cheap = 0;
    let victim = Victim::new();
    for case in cases() {
        let (refusal, checked) = victim.verdict(case);
        let (_, step) = refusal.unwrap();
        let allowed = match (case.subject, step) {
            ("token", ..5) | ("keyring" | "root", ..7) => {
                cheap += 1;
                0..=0
            }
            ("token", _) => 1..=1,
            // Two keyring keys; then the one of the keyring held, to see whether it still counts.
            ("keyring", _) => 0..=3,
            // Three root keys before and three after.
            _ => 0..=6,
        };
        assert!(
            allowed.contains(&checked),
            "{}: {}: {checked} checked at step {step}",
            case.subject,
            case.name
        );
    }
    assert!(cheap > 500, "{cheap}");
}

/// Token §4: of two things wrong with a token, the earlier step names itself; whichever two they are.
#[test]
fn of_any_two_faults_the_earlier_step_names_itself() {
    use super::cbor::{bytes, int, map, text};
    use deployment::*;
    /// The faults of steps 2 to 9, each leaving room for the others.
    #[derive(Clone, Copy)]
    struct Faults {
        shape: bool,
        header: bool,
        key: bool,
        signature: bool,
        claims: bool,
        ours: bool,
        window: bool,
        version: bool,
    }
    fn token_with(faults: Faults) -> Vec<u8> {
        let mut claims = if faults.window { claims_at(ISSUED - 11 * DAY) } else { claims_at(ISSUED + 60) };
        if faults.claims {
            *claims.at(&[4]) = super::cbor::Tree::Raw([0xf6].to_vec());
        }
        if faults.ours {
            *claims.at(&[3]) = device("dev-next-door");
        }
        if faults.version {
            *claims.at(&[LICENSE, 9]) = number(0);
        }
        let id = if faults.key { kid(99) } else { kid(31) };
        let algorithm = if faults.header { -7 } else { -19 };
        let protected = map(&[(1, int(algorithm)), (4, bytes(&id)), (16, text(TOKEN_TYPE))]);
        let mut token = signed(&protected, &claims.encode(), if faults.key { 99 } else { 31 });
        if faults.signature {
            *token.last_mut().unwrap() ^= 1;
        }
        if faults.shape {
            token.push(0);
        }
        token
    }
    let held = support::mark_of(&support::token());
    let keyring = support::keyring();
    for set in 0..=u8::MAX {
        let has = |bit: u8| set & (1 << bit) != 0;
        let faults = Faults {
            shape: has(0),
            header: has(1),
            key: has(2),
            signature: has(3),
            claims: has(4),
            ours: has(5),
            window: has(6),
            version: has(7),
        };
        let before = super::super::signatures_checked();
        let step = verify_token(&token_with(faults), &keyring, &support::expected(), Some(&held), None)
            .err()
            .map(TokenRefusal::step);
        let checked = super::super::signatures_checked() - before;
        let expected = (set != 0).then(|| 2 + u8::try_from(set.trailing_zeros()).unwrap());
        assert_eq!(step, expected, "{set:08b}");
        assert_eq!(checked, usize::from(expected.is_none_or(|step| step >= 5)), "{set:08b}");
    }
}
