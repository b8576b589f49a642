//! Documents and code say the same: numbers, codes, types, the example, and the tests the threat table names.

use super::golden;
use super::support::*;
use crate::finding::Finding;
use crate::product::ProductType;
use crate::token::wire::Row;
use crate::token::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const CDDL: &str = include_str!("../../../docs/token.cddl");
const TOKEN_MD: &str = include_str!("../../../docs/TOKEN.md");
const THREATS: &str = include_str!("../../../docs/THREATS.md");

/// The rows of the CDDL's rule `name = { ... }`.
fn cddl_rows(name: &str) -> Vec<Row> {
    let body = CDDL.split_once(&format!("\n{name} = {{\n")).unwrap().1.split_once("\n}").unwrap().0;
    body.lines()
        .map(|line| {
            let (key, _) = line.trim().split_once(" => ").unwrap();
            let optional = key.starts_with("? ");
            Row { key: key.trim_start_matches("? ").parse().unwrap(), optional }
        })
        .collect()
}

#[test]
fn the_cddl_has_the_numbers_of_the_code() {
    let tables = claims::TABLES.into_iter().chain([root::TABLE]).chain(keyring::TABLES);
    for (name, rows) in tables {
        assert_eq!(cddl_rows(name), rows, "{name}");
    }
    for text in [TOKEN_TYPE, ROOT_TYPE, KEYRING_TYPE] {
        assert!(CDDL.contains(&format!("\"{text}\"")), "{text}");
    }
    for (bound, text) in [
        (MAX_FINDINGS, "[0*64 finding]"),
        (MAX_ROLE_KEYS, "[1*16 key]"),
        (MAX_KEYRING_KEYS, "[0*128 token-key]"),
        (MAX_TOKEN_BYTES, "at most 4096 bytes"),
        (MAX_DOCUMENT_BYTES, "at most 16384 bytes"),
    ] {
        assert!(CDDL.contains(text) && text.contains(&format!("{bound}")), "{text}");
    }
}

#[test]
fn the_registries_of_claims_are_complete() {
    for (_, rows) in claims::TABLES {
        for Row { key, .. } in rows {
            let row = format!("\n| {key} | ").replace('-', "−");
            assert!(TOKEN_MD.contains(&row), "{row}");
        }
    }
    let over = Finding::OverCapacity { product: ProductType::CAMERA, shortfall: 1 };
    for finding in [Finding::TermEnded, over, Finding::NoLicense, Finding::TrialEnded, Finding::OfflineBudget]
    {
        let row = format!("\n| {} | `{}` |\n", finding.number(), finding.code());
        assert!(TOKEN_MD.contains(&row), "{row}");
    }
}

#[test]
fn the_refusals_are_listed_as_the_code_has_them() {
    let row = |number, code, step, sentence| format!("| {number} | `{code}` | {step} | {sentence} |");
    let mut listed: Vec<&str> = TOKEN_MD.lines().filter(|line| line.starts_with("| ")).collect();
    listed.retain(|line| line.split(" | ").count() == 4 && !line.starts_with("| No."));
    let trust = TrustRefusal::ALL.iter().map(|r| row(r.number(), r.code(), r.step(), r.sentence()));
    let token = TokenRefusal::ALL.iter().map(|r| row(r.number(), r.code(), r.step(), r.sentence()));
    assert_eq!(listed, trust.chain(token).collect::<Vec<String>>());
}

#[test]
fn the_example_is_the_golden_token() {
    let example = TOKEN_MD.split_once("```hex\n").unwrap().1.split_once("\n```").unwrap().0;
    let digits: String =
        example.lines().map(|line| line.split_once(';').map_or(line, |(digits, _)| digits)).collect();
    assert_eq!(hex(&unhex(&digits)), hex(&unhex(golden::TOKEN)));
    assert!(TOKEN_MD.contains(&format!("`vectors/coterm/token.hex`, {} bytes", token().len())));
}

#[test]
fn every_test_the_threat_table_names_exists() {
    let sources = [
        include_str!("attacks.rs"),
        include_str!("golden.rs"),
        include_str!("properties.rs"),
        include_str!("refusals.rs"),
        include_str!("trust.rs"),
        include_str!("vectors.rs"),
        include_str!("../../enforcement/clock/tests.rs"),
        include_str!("../../../../agent/src/driver/tests/roots.rs"),
    ]
    .concat();
    let section = THREATS.split_once("## 1. The token").unwrap().1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut named = 0;
    for row in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Attack")) {
        let tests = row.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
        for test in tests.split(", ") {
            let test = test.trim_matches('`');
            assert!(sources.contains(&format!("fn {test}(")), "{test} of {row}");
            named += 1;
        }
    }
    assert!(named > 30);
    // And every test of an attack is in the table.
    for name in include_str!("attacks.rs").lines().filter_map(|line| line.strip_prefix("fn ")) {
        let name = name.split_once('(').unwrap().0;
        let honest = name == "an_honest_token_is_accepted_and_says_what_was_said";
        assert!(honest || section.contains(&format!("`{name}`")), "{name}");
    }
}
