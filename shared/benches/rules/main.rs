//! What the rules cost, each beside its own floor measured in the same run (`make bench`).
//!
//! Machines are noisy, so ratios count and absolute times are only shown. Every figure is the median of several
//! rounds (the method: `shared/docs/BENCHMARKS.md`).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on should stop"
)]

mod access;
mod report;

use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::*;
use coterm_shared::product::ProductType;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::*;
use ed25519_dalek::{Signature, Signer, SigningKey};
use report::{Goal, Report};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// Processor time of this thread so far; where nothing is waited for it is the time on a quiet machine.
fn processor() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// The median processor time of one of `n` runs, over several rounds.
fn time(n: u32, mut run: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..5)
        .map(|_| {
            let start = processor();
            (0..n).for_each(|_| run());
            (processor() - start) / n
        })
        .collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn bytes(n: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn device(n: u64) -> DeviceId {
    format!("dev-{n}").parse().unwrap()
}

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn context() -> Context {
    Context { now: now(), limits: Limits::default() }
}

/// An organization of `groups` groups with ten cameras each, one of them short of a unit in every tenth group.
fn fleet(groups: u64) -> Organization {
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes(bytes(1)),
        name: "Fleet".to_owned(),
        default_group: GroupId::from_bytes(bytes(0)),
        settings: SettingsChange::default(),
        license_groups: true,
    };
    let mut fleet = found(&founding, &context()).unwrap().after;
    let model = ModelName::parse("CD42").unwrap();
    let mut apply = |event| fleet.apply(&Dated { at: now(), event }).unwrap();
    for n in 1..=groups {
        let (group, site) = (GroupId::from_bytes(bytes(n)), SiteId::from_bytes(bytes(n)));
        let name = Name::parse(&format!("Group {n} of many")).unwrap();
        apply(Event::GroupCreated { group, name: name.clone(), overrides: Overrides::default() });
        apply(Event::SiteCreated { site, name, place: Place::Root { group } });
        let quantity = if n % 10 == 0 { 9 } else { 10 };
        let ends_at = now().saturating_add(Seconds::days(365));
        let key = IssuedKey {
            id: KeyId::from_bytes(bytes(n)),
            code_tail: "ABCDE".to_owned(),
            order_number: OrderNumber::parse("PO-1").unwrap(),
            lines: vec![KeyLine { product: ProductType::CAMERA, quantity, weight: 19_900 }],
            term_days: 365,
            created_at: now(),
            ends_at,
        };
        let place = KeyPlace::Active { group, ends_at };
        apply(Event::KeyClaimed { key: Box::new(key), place, past: KeyPast::default() });
        for d in 0..10 {
            apply(Event::DeviceClaimed {
                device: device(n * 10 + d),
                site,
                model: model.clone(),
                product: ProductType::CAMERA,
                units: 1,
                trial: None,
            });
        }
    }
    fleet
}

/// Judges every group anew from its devices; returns how many are noncompliant.
fn recompute(fleet: &Organization) -> usize {
    let limits = Limits::default();
    fleet
        .groups()
        .filter(|group| {
            let mut in_use = Units::new();
            let mut active_devices = 0;
            for device in fleet.devices_in_group(group.id) {
                *in_use.entry(device.product).or_insert(0) += device.units;
                active_devices += 1;
            }
            let figures = Figures { in_use, active_devices, ..group.figures.clone() };
            let settings = fleet.settings_of(group);
            let occasion = Occasion::default();
            !assess(&group.assessment, &figures, &occasion, &settings, &limits, now()).is_compliant()
        })
        .count()
}

/// One pass over the same structs.
fn pass(fleet: &Organization) -> u64 {
    let units = |group: &Group| fleet.devices_in_group(group.id).map(|device| device.units).sum::<u64>();
    fleet.groups().map(units).sum()
}

fn claim_one(fleet: &Organization) {
    let new = NewDevice {
        id: device(5),
        model: "CD42".to_owned(),
        product: ProductType::CAMERA,
        units: 1,
        trial_secs: None,
        doors: None,
    };
    let command = Command::ClaimDevice { device: new, site: SiteId::from_bytes(bytes(7)) };
    black_box(decide(fleet, &command, &context()).unwrap());
}

fn licensing(report: &mut Report) {
    let small = fleet(100);
    let of_small = time(2_000, || claim_one(&small));
    eprintln!("building 1,000,000 devices in 100,000 groups...");
    let large = fleet(100_000);
    assert_eq!(recompute(&large), 10_000);
    let floor = time(1, || {
        black_box(pass(&large));
    });
    let full = time(1, || {
        black_box(recompute(&large));
    });
    let of_large = time(2_000, || claim_one(&large));
    let of_pass = Some((us(floor), "one pass over the same structs"));
    report.add("P2 full recompute, 1 M devices in 100 k groups", "us", us(full), of_pass, Goal::AtMost(1e6));
    let of_thousand = Some((us(of_small), "1 k devices"));
    report.add("P2 one-device change among 1 M", "us", us(of_large), of_thousand, Goal::AtMost(50.0));
    report.add("P2 one-device change, 1 M to 1 k", "us", us(of_large), of_thousand, Goal::RatioAtMost(3.0));
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn tokens(report: &mut Report) {
    let read = |name: &str| {
        unhex(
            &std::fs::read_to_string(format!("{}/vectors/coterm/{name}.hex", env!("CARGO_MANIFEST_DIR")))
                .unwrap(),
        )
    };
    let root = Root::pinned(&read("root")).unwrap();
    let keyring = Keyring::verify(&read("keyring"), &root, None).unwrap();
    let token = read("token");
    let expected = Expected {
        trust_domain: keyring.trust_domain().clone(),
        device: "dev_0190163d8694739b912b7ac7e1d8a5f1".parse().unwrap(),
        organization: OrganizationId::from_bytes([1; 16]),
    };
    let claims = reopen_stored(&token, &keyring, &expected).unwrap().claims().clone();
    // The golden token's key is made of this seed.
    let secret = SigningKey::from_bytes(&[31; 32]);
    let kid = PublicKey::from_bytes(secret.verifying_key().as_bytes()).unwrap().kid();
    let unsigned = Unsigned::token(&claims, kid).unwrap();
    let to_be_signed = unsigned.to_be_signed().to_vec();
    let signature = secret.sign(&to_be_signed).to_bytes();
    let held = Held { version: TokenVersion { epoch: 1, seq: 1 }, digest: [0; 32] };
    let unknown_key = {
        let mut junk = token.clone();
        let at = junk.windows(4).position(|w| w == [0x01, 0x32, 0x04, 0x48]).unwrap();
        junk[at + 4] ^= 1;
        junk
    };
    let n = 5_000;
    let public = secret.verifying_key();
    let raw_verify = time(n, || {
        let signature = Signature::from_bytes(black_box(&signature));
        assert!(public.verify_strict(black_box(&to_be_signed), &signature).is_ok());
    });
    let verify = time(n, || {
        black_box(verify_token(black_box(&token), &keyring, &expected, Some(&held), None).unwrap());
    });
    let junk = time(n, || {
        black_box(verify_token(black_box(&unknown_key), &keyring, &expected, Some(&held), None).unwrap_err());
    });
    let raw_sign = time(n, || {
        black_box(secret.sign(black_box(&to_be_signed)));
    });
    let issue = time(n, || {
        let unsigned = Unsigned::token(black_box(&claims), kid).unwrap();
        black_box(unsigned.attach(secret.sign(unsigned.to_be_signed()).to_bytes()));
    });
    let of_verify = Some((us(raw_verify), "raw verify_strict"));
    report.add("P5 verify a token, the whole path", "us", us(verify), of_verify, Goal::RatioAtMost(1.10));
    report.add("P5 refuse junk", "us", us(junk), of_verify, Goal::RatioAtMost(0.05));
    let of_sign = Some((us(raw_sign), "raw signature"));
    report.add("P6 issue a token: 0.7 of the raw rate", "us", us(issue), of_sign, Goal::RatioAtMost(1.43));
    assert_eq!(claims.findings.len(), 2);
    let bytes = f64::from(u32::try_from(token.len()).unwrap());
    report.add("P10 a token with two findings", "bytes", bytes, None, Goal::AtMost(352.0));
}

fn main() {
    let mut report = Report::new("rules");
    tokens(&mut report);
    access::run(&mut report);
    licensing(&mut report);
    report.finish();
}
