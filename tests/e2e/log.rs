//! The transaction log as its readers have it: exported, verified on another machine, compared (domain T1).

use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::{Said, run};
use serde_json::Value;
use std::path::{Path, PathBuf};

const YEAR: u64 = 365 * 86_400;

/// An organization in whose log there is something of everything: a group judged anew, and a name that CSV has to quote
/// and a spreadsheet must not take for a formula.
fn tenant(cloud: &Cloud) -> Tenant {
    let tenant = cloud.vendor().organization("Acme", 86_400, 86_400);
    let _ = tenant.group("North");
    tenant.device("cam-1", "North", CAMERA);
    // The second moves a date and a capacity that are there already.
    tenant.claim(&tenant.key("camera", 5, YEAR), "North");
    tenant.claim(&tenant.key("camera", 3, 2 * YEAR), "North");
    let _ = tenant.json(&["site", "create", "=SUM(\"a\", b)", "--yes"]);
    tenant
}

fn export(tenant: &Tenant, file: &Path, filter: &[&str]) -> Said {
    tenant.coterm(&[&["log", "export", "--out", file.to_str().unwrap()], filter].concat())
}

/// Verifies a file with no server and no token.
fn verify(tenant: &Tenant, file: &Path) -> Said {
    let program = tenant.operator.command(&[]).get_program().to_owned();
    let mut alone = std::process::Command::new(program);
    alone.env_clear().args(["log", "verify", "-o", "json", "--file"]).arg(file);
    run(alone)
}

/// The lines of an export, the first of them its heads.
fn lines(file: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(file).unwrap();
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn write(file: &Path, lines: &[Vec<String>]) {
    let mut writer = csv::Writer::from_path(file).unwrap();
    lines.iter().for_each(|line| writer.write_record(line).unwrap());
    writer.flush().unwrap();
}

struct Exported {
    cloud: Cloud,
    tenant: Tenant,
    file: PathBuf,
    /// Where a test writes what it made of it.
    other: PathBuf,
}

fn exported() -> Exported {
    let cloud = Cloud::start();
    let tenant = tenant(&cloud);
    let (file, other) = (cloud.dir().join("log.csv"), cloud.dir().join("other.csv"));
    let said = export(&tenant, &file, &[]);
    assert!(said.code == 0 && said.stderr.contains("To verify it: coterm log verify"), "{said:?}");
    Exported { cloud, tenant, file, other }
}

/// Domain T1: an export is verified without the server, and convicts who alters it, or the server's log.
#[test]
fn t1_an_exported_log_is_verified_without_the_server() {
    let Exported { cloud, tenant, file, other } = exported();
    let verdict = tenant.json(&["log", "verify"]);
    let said = verify(&tenant, &file);
    assert_eq!(said.code, 0, "{said:?}");
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&found["hash"], &found["last"]), (&verdict["hash"], &verdict["entries"]));
    assert_eq!((&found["whole"], &found["first"]), (&Value::Bool(true), &Value::from(1)));
    let compare = |file: &Path, more: &[&str]| {
        let verify = ["log", "verify", "-o", "json", "--compare", "--file", file.to_str().unwrap()];
        tenant.coterm(&[&verify, more].concat())
    };
    let said = compare(&file, &[]);
    assert!(said.code == 0 && said.stderr.contains("and ends with it"), "{said:?}");

    // A file that was cut short is intact; that the server has more is said.
    let whole = lines(&file);
    write(&other, &whole[..whole.len() - 2]);
    let said = compare(&other, &[]);
    assert!(said.code == 0 && said.stderr.contains("and 2 more entries after it"), "{said:?}");
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(found["later"], 2);

    // What begins later is verified from its second entry on, and from its first if the server says the hash before it.
    let late: Vec<_> =
        whole.iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, line)| line.clone()).collect();
    write(&other, &late);
    let said = verify(&tenant, &other);
    assert!(said.code == 0 && said.stderr.contains("begins with entry 2. Neither that entry"), "{said:?}");
    let said = compare(&other, &[]);
    assert!(said.code == 0 && said.stderr.contains("came before entry 2"), "{said:?}");
    let mut forged = late.clone();
    forged[1][3] = String::from("tok_1 vendor (nobody)");
    write(&other, &forged);
    let said = compare(&other, &[]);
    assert!(said.code == 1 && said.stderr.contains("LOG_REWRITTEN"), "{said:?}");
    // Nothing in the file covers an entry that is alone.
    write(&other, &late[..2]);
    let said = verify(&tenant, &other);
    assert!(said.code == 1 && said.stderr.starts_with("LOG_HAS_GAPS"), "{said:?}");
    assert_eq!(compare(&other, &[]).code, 0);

    // The platform's log is another chain, whatever its first entry names.
    let own = cloud.dir().join("platform.csv");
    assert_eq!(export(&tenant, &own, &["--platform"]).code, 0);
    assert_eq!(verify(&tenant, &own).code, 0);
    let said = compare(&own, &["--platform"]);
    assert!(said.code == 0 && said.stderr.contains("and ends with it"), "{said:?}");

    // Another organization's log is not the one of the file.
    let _ = cloud.vendor().json(&["org", "create", "Other", "--license-groups"]);
    let path = file.to_str().unwrap();
    let said = cloud.vendor().coterm(&["log", "verify", "--file", path, "--compare", "--org", "Other"]);
    assert!(said.code == 1 && said.stderr.contains("LOG_REWRITTEN"), "{said:?}");
}

/// Domain T1: no column of an export is taken on trust, the ones beside the hashed ones neither.
#[test]
fn t1_an_export_altered_in_any_column_is_refused() {
    let Exported { cloud: _cloud, tenant, file, other } = exported();
    let whole = lines(&file);
    let heads = whole[0].clone();
    // A line that has something in every column.
    let n = whole.iter().rposition(|line| line.iter().all(|cell| !cell.is_empty())).unwrap();
    assert!(n > 1, "{whole:?}");
    let hashed = ["seq", "at", "recorded_at", "actor", "request_id", "event", "hash"];
    for (column, head) in heads.iter().enumerate() {
        let was = &whole[n][column];
        let forged = match head.as_str() {
            "seq" => String::from("999"),
            "at" | "recorded_at" | "coterm_before" | "coterm_after" => String::from("2040-01-01T00:00:00Z"),
            "hash" => was.chars().rev().collect(),
            "event" => was.replacen("\"camera\":5", "\"camera\":6", 1),
            _ => format!("{was}0"),
        };
        assert_ne!(&forged, was, "{head}");
        let mut lines = whole.clone();
        lines[n][column] = forged;
        write(&other, &lines);
        let said = verify(&tenant, &other);
        let line = format!("line {}", n + 1);
        assert!(
            said.code == 1 && said.stderr.contains(&line) && said.stderr.contains(head),
            "{head}: {said:?}"
        );
        let code = if head == "seq" { "LOG_HAS_GAPS" } else { "LOG_DAMAGED" };
        assert!(said.stderr.starts_with(code), "{head}: {said:?}");
        if !hashed.contains(&head.as_str()) {
            assert!(said.stderr.contains(&format!("column {head} is not what the entry says")), "{said:?}");
        }
        // The same columns under other names, or one more of them, are no export.
        let mut lines = whole.clone();
        lines[0][column] = String::from("other");
        write(&other, &lines);
        let said = verify(&tenant, &other);
        assert!(said.code == 3 && said.stderr.starts_with("NOT_AN_EXPORT"), "{head}: {said:?}");
    }
    // An instant that is the same one in other words, an empty cell that is filled: only what was written is accepted.
    let mut lines = whole.clone();
    lines[n][1] = lines[n][1].replace('Z', "+00:00");
    lines[n][7].clear();
    write(&other, &lines);
    let said = verify(&tenant, &other);
    assert!(said.code == 1 && said.stderr.contains("columns at, coterm_before are"), "{said:?}");
    for text in ["a,b\r\n1,2\r\n", ""] {
        std::fs::write(&other, text).unwrap();
        let said = verify(&tenant, &other);
        assert!(said.code == 3 && said.stderr.starts_with("NOT_AN_EXPORT"), "{said:?}");
    }
}

/// Domain T1: what a filter left out cannot be told from what was taken out; both are said.
#[test]
fn t1_an_export_with_gaps_is_said_to_be_unverifiable() {
    let Exported { cloud: _cloud, tenant, file, other } = exported();
    let mut some = lines(&file);
    let _ = some.remove(3);
    write(&other, &some);
    let gap = verify(&tenant, &other);
    assert!(gap.code == 1 && gap.stderr.starts_with("LOG_HAS_GAPS"), "{gap:?}");
    assert!(gap.stderr.contains("entry 4 follows entry 2") || gap.stderr.contains("entries were taken out"));
    some.swap(2, 3);
    write(&other, &some);
    let said = verify(&tenant, &other);
    assert!(said.code == 1 && said.stderr.contains("LOG_"), "{said:?}");

    std::fs::remove_file(&other).unwrap();
    let said = export(&tenant, &other, &["--group", "North"]);
    assert!(
        said.code == 0 && said.stderr.contains("cannot be verified: --group left entries out"),
        "{said:?}"
    );
    let said = verify(&tenant, &other);
    assert!(said.code == 1 && said.stderr.starts_with("LOG_HAS_GAPS"), "{said:?}");
}
