//! An implementation of CWT and COSE made by others, and ours: each believes what the other signs, and reads the same.
//!
//! The peer is the Python package `cwt`, asked through `tests/peer/cwt_peer.py`; `make peer` installs it below target/.

use coterm_shared::enforcement::{EnforcementState, Schedule};
use coterm_shared::finding::Finding;
use coterm_shared::id::{GroupId, OrganizationId, SiteId};
use coterm_shared::product::ProductType;
use coterm_shared::time::Timestamp;
use coterm_shared::token::{
    Claims, Expected, KEYRING_TYPE, KeyUse, Keyring, KeyringDocument, Nonce, PublicKey, ROOT_TYPE, Role,
    Root, RootDocument, TokenKey, TokenVersion, Unsigned, UnsignedDocument, reopen_stored,
};
use coterm_tests::tidy::repository;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program that answers.
struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it, or says why it is skipped. Where it must not be skipped (`COTERM_REQUIRE_PEER`), its absence fails.
    fn start() -> Option<Peer> {
        let python = repository().join("target/peer/bin/python");
        if !python.exists() {
            let absent =
                "there is no Python peer: `make peer` installs it (python3 with venv, and PyPI, are needed)";
            assert!(std::env::var_os("COTERM_REQUIRE_PEER").is_none(), "{absent}");
            eprintln!("SKIPPED: {absent}");
            return None;
        }
        let mut child = Command::new(python)
            .arg(repository().join("tests/peer/cwt_peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Peer { child, questions, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the peer ended over {question}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(secret(seed).verifying_key().as_bytes()).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Claims number `n`: every optional part there and not, lengths and numbers at both ends of their range.
fn claims(n: u64) -> Claims {
    let pick = |way: u64, of: u64| (n / way) % of;
    let edge = [1, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32]
        [usize::try_from(pick(1, 9)).unwrap()];
    let issued = [0, 1_600_000_000, 4_294_967_295 - 4_000_000_000][usize::try_from(pick(2, 3)).unwrap()];
    let steps = [3, 0, 1, 2][usize::try_from(pick(5, 4)).unwrap()];
    let step = |number: u64| (number < steps).then(|| at(issued + number * edge));
    let over = |product| Finding::OverCapacity {
        product: ProductType::from_number(product).unwrap(),
        shortfall: edge,
    };
    let all = [
        Finding::TermEnded,
        over(1),
        over(u16::MAX),
        Finding::NoLicense,
        Finding::TrialEnded,
        Finding::OfflineBudget,
    ];
    Claims {
        trust_domain: ["a", "licenses.example.com", &"x".repeat(64)][usize::try_from(pick(3, 3)).unwrap()]
            .parse()
            .unwrap(),
        device: ["c", "cam-1", &"D".repeat(64)][usize::try_from(pick(7, 3)).unwrap()].parse().unwrap(),
        // Late enough that the peer's own idea of expiry never comes into it.
        lease_ends_at: at(253_402_300_799 - pick(1, 9)),
        issued_at: at(issued),
        nonce: [None, Some(8), Some(23), Some(24), Some(64)][usize::try_from(pick(4, 5)).unwrap()]
            .map(|length| Nonce::new(&vec![u8::try_from(n % 251).unwrap(); length]).unwrap()),
        organization: OrganizationId::from_bytes([u8::try_from(n % 256).unwrap(); 16]),
        site: SiteId::from_bytes([0; 16]),
        group: (pick(2, 2) == 0).then(|| GroupId::from_bytes([0xff; 16])),
        state: EnforcementState::ALL[usize::try_from(pick(1, 4)).unwrap()],
        findings: all[..usize::try_from(pick(3, 7)).unwrap()].to_vec(),
        schedule: Schedule { grace_begins_at: step(0), lock_at: step(1), stop_at: step(2) },
        offline_lock_at: at(issued + edge),
        version: TokenVersion { epoch: edge, seq: (issued * 1000).saturating_sub(pick(1, 24)) + pick(1, 24) },
        coterm_at: (pick(3, 2) == 0).then(|| at(edge)),
    }
}

/// Claims in the words of the peer.
fn described(claims: &Claims) -> Value {
    let secs = |instant: Option<Timestamp>| instant.map(Timestamp::as_secs);
    let findings: Vec<Vec<u64>> = claims
        .findings
        .iter()
        .map(|finding| match *finding {
            Finding::OverCapacity { product, shortfall } => vec![2, u64::from(product.number()), shortfall],
            Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {
                vec![u64::from(finding.number())]
            }
        })
        .collect();
    json!({
        "iss": claims.trust_domain.as_str(),
        "aud": claims.device.to_string(),
        "exp": claims.lease_ends_at.as_secs(),
        "iat": claims.issued_at.as_secs(),
        "nonce": claims.nonce.as_ref().map(|nonce| hex(nonce.as_bytes())),
        "organization": hex(claims.organization.as_bytes()),
        "site": hex(claims.site.as_bytes()),
        "group": claims.group.map(|group| hex(group.as_bytes())),
        "state": claims.state.number(),
        "findings": findings,
        "schedule": [secs(claims.schedule.grace_begins_at), secs(claims.schedule.lock_at), secs(claims.schedule.stop_at)],
        "offline_lock": claims.offline_lock_at.as_secs(),
        "epoch": claims.version.epoch,
        "sequence": claims.version.seq,
        "coterm": secs(claims.coterm_at),
    })
}

fn sign_document(unsigned: &UnsignedDocument, seeds: &[u8]) -> Vec<u8> {
    let signed = seeds.iter().map(|seed| {
        let kid = public(*seed).kid();
        (kid, secret(*seed).sign(&unsigned.to_be_signed(kid)).to_bytes())
    });
    unsigned.attach(&signed.collect::<Vec<_>>())
}

fn root_of(claims: &Claims) -> RootDocument {
    let role = |threshold, seeds: &[u8]| {
        Role::new(threshold, seeds.iter().map(|seed| public(*seed)).collect()).unwrap()
    };
    RootDocument {
        trust_domain: claims.trust_domain.clone(),
        version: claims.version.epoch,
        root: role(2, &[11, 12, 13]),
        keyring: role(1, &[21, 22]),
    }
}

fn keyring_of(claims: &Claims) -> KeyringDocument {
    let key = TokenKey {
        key: public(31),
        not_before_at: at(0),
        not_after_at: at(253_402_300_799),
        key_use: KeyUse::LICENSE_STATE,
        organization: Some(claims.organization),
    };
    KeyringDocument {
        trust_domain: claims.trust_domain.clone(),
        version: claims.version.epoch,
        issued_at: claims.issued_at,
        min_epoch: claims.version.epoch,
        keys: vec![key],
    }
}

#[test]
fn an_independent_implementation_verifies_ours_and_ours_verifies_its() {
    let Some(mut peer) = Peer::start() else { return };
    let x = hex(public(31).as_bytes());
    for n in 0..180 {
        let claims = claims(n);
        let unsigned = Unsigned::token(&claims, public(31).kid()).unwrap();
        let ours = unsigned.attach(secret(31).sign(unsigned.to_be_signed()).to_bytes());
        let verdict = peer.ask(&json!({ "do": "verify", "x": x, "token": hex(&ours) }));
        assert_eq!(verdict, json!({ "claims": described(&claims) }), "claims {n}");

        let made = peer.ask(&json!({ "do": "make", "seed": hex(&[31; 32]), "claims": described(&claims) }));
        let theirs = unhex(made["token"].as_str().unwrap_or_else(|| panic!("claims {n}: {made}")));
        // One encoding and one signature: there is nothing to differ in.
        assert_eq!(hex(&theirs), hex(&ours), "claims {n}");

        let root = sign_document(&root_of(&claims).unsigned(), &[11, 13]);
        let keyring = sign_document(&keyring_of(&claims).unsigned().unwrap(), &[21, 22]);
        let believed = Keyring::verify(&keyring, &Root::pinned(&root).unwrap(), None).unwrap();
        let Claims { trust_domain, device, organization, .. } = claims.clone();
        let expected = Expected { trust_domain, device, organization };
        assert_eq!(*reopen_stored(&theirs, &believed, &expected).unwrap().claims(), claims, "claims {n}");

        for (typ, document, seeds) in [(ROOT_TYPE, &root, [11, 13]), (KEYRING_TYPE, &keyring, [21, 22])] {
            let keys = seeds.map(|seed| hex(public(seed).as_bytes()));
            let mut question =
                json!({ "do": "document", "keys": keys, "document": hex(document), "type": typ });
            let verdict = peer.ask(&question);
            assert!(verdict["content"].is_string(), "claims {n}, {typ}: {verdict}");
            // The last byte of the last signature: its high bits are no part of any S.
            let mut damaged = document.clone();
            *damaged.last_mut().unwrap() ^= 1;
            question["document"] = hex(&damaged).into();
            assert!(peer.ask(&question)["refused"].is_string(), "claims {n}, {typ}");
        }
        let mut damaged = ours.clone();
        damaged[usize::try_from(n).unwrap() % 50 + 70] ^= 1;
        let verdict = peer.ask(&json!({ "do": "verify", "x": x, "token": hex(&damaged) }));
        assert!(verdict["refused"].is_string(), "claims {n}: {verdict}");
    }
    let stranger = hex(public(99).as_bytes());
    let golden = std::fs::read_to_string(repository().join("shared/vectors/coterm/token.hex")).unwrap();
    let mut verify = |x: &str| peer.ask(&json!({ "do": "verify", "x": x, "token": golden.trim() }));
    assert!(verify(&x)["claims"].is_object());
    assert!(verify(&stranger)["refused"].is_string());
}
