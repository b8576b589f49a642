use super::super::wire::Row;
use super::super::*;
use super::{answer, messages};
use crate::enrolment::code::{ClaimText, RootPin};
use crate::id::{OrganizationId, SiteId};
use crate::time::Timestamp;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

const CDDL: &str = include_str!("../../../docs/enrolment.cddl");

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs_clamped(secs)
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(secret(seed).verifying_key().as_bytes()).unwrap()
}

fn domain() -> TrustDomain {
    "licenses.example.com".parse().unwrap()
}

/// A keyring with a key for enrolment (seed 3) and one for license states (seed 4), both from 1000 to 2000.
fn keyring() -> Keyring {
    let role = |seed| Role::new(1, vec![public(seed)]).unwrap();
    let document = RootDocument { trust_domain: domain(), version: 1, root: role(1), keyring: role(2) };
    let sign = |unsigned: &UnsignedDocument, seed| {
        let kid = public(seed).kid();
        unsigned.attach(&[(kid, secret(seed).sign(&unsigned.to_be_signed(kid)).to_bytes())])
    };
    let root = Root::pinned(&sign(&document.unsigned(), 1)).unwrap();
    let key = |seed, key_use| TokenKey {
        key: public(seed),
        not_before_at: at(1000),
        not_after_at: at(2000),
        key_use,
        organization: None,
    };
    let keys = vec![key(3, KeyUse::ENROLMENT), key(4, KeyUse::LICENSE_STATE)];
    let ring =
        KeyringDocument { trust_domain: domain(), version: 1, issued_at: at(1000), min_epoch: 1, keys };
    Keyring::verify(&sign(&ring.unsigned().unwrap(), 2), &root, None).unwrap()
}

const BINDING: Binding = Binding { nonce: [7; 32], server: [8; 32] };

fn answer(domain: &TrustDomain, binding: &Binding, secs: u64, seed: u8) -> Vec<u8> {
    let unsigned = UnsignedAnswer::new(domain, binding, at(secs), Body::Done.encode(), public(seed).kid());
    unsigned.attach(secret(seed).sign(&unsigned.to_be_signed()).to_bytes())
}

#[test]
fn an_answer_is_believed_for_this_question_on_this_connection_by_this_key_alone() {
    let (keyring, ours) = (keyring(), domain());
    let good = answer(&ours, &BINDING, 1500, 3);
    assert_eq!(Answer::verify(&good, &keyring, &BINDING).unwrap().body, Body::Done.encode());
    let other = "other.example.com".parse().unwrap();
    for (bytes, refusal) in [
        (answer(&ours, &BINDING, 1500, 4), AnswerRefusal::Key),
        (answer(&ours, &BINDING, 1500, 9), AnswerRefusal::Key),
        (answer(&other, &BINDING, 1500, 3), AnswerRefusal::TrustDomain),
        (answer(&ours, &Binding { nonce: [9; 32], ..BINDING }, 1500, 3), AnswerRefusal::Nonce),
        (answer(&ours, &Binding { server: [9; 32], ..BINDING }, 1500, 3), AnswerRefusal::Channel),
        (answer(&ours, &BINDING, 999, 3), AnswerRefusal::Time),
        (answer(&ours, &BINDING, 2001, 3), AnswerRefusal::Time),
        (b"HTTP/1.1 400 Bad Request".to_vec(), AnswerRefusal::Malformed),
        (vec![0; MAX_ANSWER_BYTES + 1], AnswerRefusal::Malformed),
    ] {
        assert_eq!(Answer::verify(&bytes, &keyring, &BINDING), Err(refusal));
    }
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Answer::verify(&damaged, &keyring, &BINDING).is_err(), "bit {bit}");
    }
}

fn requests() -> Vec<Request> {
    let code = ClaimText::new(RootPin::of(b"root"), [5; 14]);
    let csr = vec![0x30; 300];
    let device = Some("cam-1".parse().unwrap());
    vec![
        Request::Hello(Hello { nonce: [1; 32], pin: Some(*code.pin()) }),
        Request::Hello(Hello { nonce: [1; 32], pin: None }),
        Request::Enrol(EnrolRequest {
            nonce: [2; 32],
            secret: code.secret().clone(),
            csr: csr.clone(),
            device,
        }),
        Request::Enrol(EnrolRequest {
            nonce: [2; 32],
            secret: code.secret().clone(),
            csr: csr.clone(),
            device: None,
        }),
        Request::Renew(RenewRequest { nonce: [3; 32], csr }),
        Request::Confirm { nonce: [4; 32] },
    ]
}

fn bodies() -> Vec<Body> {
    let broker = BrokerPlace {
        host: "mqtt.example.com".to_string(),
        port: 8883,
        server_name: "mqtt.example.com".to_string(),
        authorities_pem: "-----BEGIN CERTIFICATE-----".to_string(),
    };
    let enrolled = Enrolled {
        device: "cam-1".parse().unwrap(),
        organization: OrganizationId::from_bytes([1; 16]),
        chain: vec![vec![1, 2], vec![3]],
        enrolment_ca: vec![4],
        site: Some(SiteId::from_bytes([2; 16])),
        broker: Some(broker),
        product: Some(1),
    };
    let bare = Enrolled { site: None, broker: None, product: None, ..enrolled.clone() };
    let refused = |retry_secs| {
        let text = |text: &str| text.to_string();
        Body::Refused(Refused { code: text("CODE"), message: text("No."), hint: text("Ask."), retry_secs })
    };
    let wait = Body::Wait(Wait { secs: 30, device: "cam-1".parse().unwrap() });
    vec![Body::Done, Body::Enrolled(enrolled), Body::Enrolled(bare), wait, refused(None), refused(Some(5))]
}

#[test]
fn messages_come_out_as_they_went_in() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    for body in bodies() {
        assert_eq!(Body::decode(&body.encode()), Ok(body));
    }
    let hello = HelloAnswer { signed: vec![1], keyring: vec![2], roots: vec![vec![3], vec![4]] };
    assert_eq!(HelloAnswer::decode(&hello.encode()), Ok(hello.clone()));
    for roots in [vec![], vec![vec![1]; MAX_ROOTS + 1]] {
        assert!(HelloAnswer::decode(&HelloAnswer { roots, ..hello.clone() }.encode()).is_err());
    }
    assert!(Request::decode(&vec![0; MAX_REQUEST_BYTES + 1]).is_err());
}

#[test]
fn the_cddl_has_the_numbers_of_the_code() {
    for (name, rows) in messages::TABLES.into_iter().chain([answer::TABLE]) {
        let body = CDDL.split_once(&format!("\n{name} = {{\n")).expect(name).1.split_once("\n}").unwrap().0;
        let listed: Vec<Row> = body
            .lines()
            .map(|line| {
                let (key, _) = line.trim().split_once(" => ").unwrap();
                Row { key: key.trim_start_matches("? ").parse().unwrap(), optional: key.starts_with("? ") }
            })
            .collect();
        assert_eq!(listed, rows, "{name}");
    }
    for text in [ENROLMENT_TYPE, &format!("at most {MAX_REQUEST_BYTES}"), &format!("[1*{MAX_ROOTS} bstr]")] {
        assert!(CDDL.contains(text) || CDDL.contains(&text.replace("at most ", "at most\n; ")), "{text}");
    }
    assert!(CDDL.contains(&format!("{MAX_ANSWER_BYTES}")));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_edits_are_refused_or_mean_something_else(bytes: Vec<u8>, which in 0..6_usize, at in 0..400_usize, to: u8) {
        let _ = (Request::decode(&bytes), Body::decode(&bytes), HelloAnswer::decode(&bytes));
        let _ = Answer::verify(&bytes, &keyring(), &BINDING);
        let request = &requests()[which];
        let mut edited = request.encode();
        let at = at % edited.len();
        let same = edited[at] == to;
        edited[at] = to;
        if let Ok(other) = Request::decode(&edited) {
            prop_assert!(same || other != *request);
        }
    }
}
