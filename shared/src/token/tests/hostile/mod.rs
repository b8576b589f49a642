//! The hostile set: more than a thousand tokens, keyrings and roots that must be refused, each for its own reason.
//!
//! **Problem.** An attacker chooses his bytes; a test that thinks of ten of them proves little. **Method.** One small
//! deployment from fixed seeds, and around it every field and every kind of lie about it, every attack of
//! `docs/THREATS.md` that can be put into bytes, and for each the one code it must be refused with, written down by
//! rule and not by running the verifier. The set is made without the encoder it judges. It is committed as
//! `vectors/hostile/cases.jsonl`, so that every program can be held to it; this test makes it anew and compares.
//! `COTERM_WRITE_VECTORS=1 cargo test -p coterm-shared hostile` writes the files. **Deliberately absent:** attacks
//! that are no message (a copied disk, a restored file); `verdicts` names the tests that show those.

mod cbor;
mod containers;
mod contents;
mod deployment;
mod documents;
mod signatures;
mod strangers;
mod tokens;
mod trust;
mod verdicts;

use super::support::hex;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cbor::{Lie, Lying};
use serde_json::json;
use sha2::{Digest, Sha256};

/// One hostile message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Case {
    /// What it claims to be: `token`, `keyring` or `root`.
    subject: &'static str,
    /// The attack of THREATS.md it belongs to.
    attack: &'static str,
    /// The code of its refusal.
    refusal: &'static str,
    /// What is wrong with it; unique with the subject.
    name: String,
    bytes: Vec<u8>,
}

impl Case {
    fn token(attack: &'static str, refusal: &'static str, name: String, bytes: Vec<u8>) -> Case {
        Case { subject: "token", attack, refusal, name, bytes }
    }

    fn document(
        subject: &'static str,
        attack: &'static str,
        refusal: &'static str,
        name: String,
        bytes: Vec<u8>,
    ) -> Case {
        Case { subject, attack, refusal, name, bytes }
    }

    fn line(&self) -> String {
        // Written by hand so that the parts stand in this order; names are plain enough once escaped.
        format!(
            "{{\"as\":\"{}\",\"attack\":\"{}\",\"refusal\":\"{}\",\"name\":{},\"hex\":\"{}\"}}\n",
            self.subject,
            self.attack,
            self.refusal,
            serde_json::to_string(&self.name).unwrap(),
            hex(&self.bytes)
        )
    }
}

impl Lying {
    /// The attack of THREATS.md a lie about an encoding or a content belongs to.
    fn attack(&self) -> &'static str {
        let bomb = ["endless", "longer than what is left"].iter().any(|word| self.name.contains(word));
        match self.lie {
            Lie::Encoding if bomb => "nesting_and_length_bombs",
            Lie::Encoding => "duplicate_and_non_canonical_encodings",
            Lie::Content | Lie::Profile => "malformed_content",
        }
    }
}

/// The cases so far; no two of a name, and no two of the same bytes for the same subject.
#[derive(Default)]
struct Set {
    cases: Vec<Case>,
    seen: BTreeSet<(&'static str, Vec<u8>)>,
    names: BTreeSet<(&'static str, String)>,
}

impl Set {
    fn add(&mut self, case: Case) {
        // Two roads to the same bytes are one case.
        if self.seen.insert((case.subject, case.bytes.clone())) {
            assert!(
                self.names.insert((case.subject, case.name.clone())),
                "twice: {}: {}",
                case.subject,
                case.name
            );
            self.cases.push(case);
        }
    }
}

/// The bytes of every case, for whoever reads the same with other means.
pub(super) fn messages() -> impl Iterator<Item = &'static [u8]> {
    cases().iter().map(|case| &case.bytes[..])
}

/// The whole set; made once in a process.
fn cases() -> &'static [Case] {
    static CASES: std::sync::OnceLock<Vec<Case>> = std::sync::OnceLock::new();
    CASES.get_or_init(make)
}

fn make() -> Vec<Case> {
    let mut set = Set::default();
    containers::add(&mut set);
    documents::add(&mut set);
    strangers::add(&mut set);
    tokens::add(&mut set);
    signatures::add(&mut set);
    contents::add(&mut set);
    trust::add(&mut set);
    set.cases
}

fn count(of: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    of.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

/// The deployment the set is aimed at, and what is in the set.
fn manifest(cases: &[Case], lines: &str) -> String {
    let next = deployment::claims_at(deployment::ISSUED + 86_400);
    let value = json!({
        "about": "What a device that holds these documents must refuse, and the documents it must go on to accept.",
        "cases": cases.len(),
        "sha256": hex(&Sha256::digest(lines.as_bytes())),
        "device": {
            "trust_domain": deployment::DOMAIN,
            "device": deployment::DEVICE,
            "organization": "org_01010101010101010101010101010101",
            "root": hex(&deployment::root_by(&deployment::root(1), &[11, 12])),
            "keyring": hex(&deployment::keyring_by(&deployment::keyring(), &[21])),
            "token": hex(&deployment::token(&deployment::claims(), 31)),
        },
        "accepted": {
            "root": hex(&deployment::root_by(&deployment::next_root(), &[12, 13])),
            "keyring": hex(&deployment::keyring_by(&deployment::keyring_version(6), &[21])),
            "token": hex(&deployment::token(&next, 31)),
            "keyring_under_that_root": hex(&deployment::keyring_by(&deployment::keyring_version(7), &[23])),
        },
        "by_subject": count(cases.iter().map(|case| case.subject)),
        "by_attack": count(cases.iter().map(|case| case.attack)),
        "by_refusal": count(cases.iter().map(|case| case.refusal)),
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

/// Where the set is kept.
fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/hostile").join(name)
}

#[test]
fn the_committed_set_is_what_the_generator_makes() {
    let cases = cases();
    let lines: String = cases.iter().map(Case::line).collect();
    let manifest = manifest(cases, &lines);
    for (name, made) in [("cases.jsonl", lines), ("manifest.json", manifest)] {
        if std::env::var_os("COTERM_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(file("")).unwrap();
            std::fs::write(file(name), &made).unwrap();
        }
        let committed = std::fs::read_to_string(file(name)).unwrap_or_default();
        let differs = made.lines().zip(committed.lines()).position(|(made, committed)| made != committed);
        assert!(
            made == committed,
            "{name} differs, first in line {:?}; COTERM_WRITE_VECTORS=1 writes it anew",
            differs.map(|line| line + 1)
        );
    }
    assert!(cases.len() >= 500, "{} cases", cases.len());
    // They are what their lines say, also to someone who reads JSON.
    for case in cases {
        let value: serde_json::Value = serde_json::from_str(&case.line()).unwrap();
        assert_eq!(value["name"].as_str(), Some(&*case.name));
        assert_eq!(value["hex"].as_str().unwrap().to_string(), hex(&case.bytes));
    }
}
