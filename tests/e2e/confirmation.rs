//! The command in a person's hands: a preview, a question, an answer. At a real terminal, against a real daemon.

use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::terminal::Terminal;
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;

const YEAR: u64 = 365 * 86_400;
/// The exit statuses that count here, as `coterm exit-codes` tells them.
const CONFLICT: i32 = 6;
const DECLINED: i32 = 8;

/// An organization with the group North, a camera in it, and the code of a key for it.
fn tenant(cloud: &Cloud) -> (Tenant, String) {
    let tenant = cloud.vendor().organization("Acme", 86_400, 86_400);
    let _ = tenant.group("North");
    tenant.device("cam-1", "North", CAMERA);
    let code = tenant.key("camera", 5, YEAR);
    (tenant, code)
}

fn claim(tenant: &Tenant, code: &str) -> Terminal {
    tenant.operator.at_terminal(&["key", "claim", code, "--group", "North", "--org", &tenant.id])
}

/// Domain T2: what is shown is what is applied, once a person says yes.
#[test]
fn what_is_confirmed_is_applied_as_it_was_shown() {
    let cloud = Cloud::start();
    let (tenant, code) = tenant(&cloud);
    let mut terminal = claim(&tenant, &code);
    terminal.expect("Apply?");
    let shown = terminal.screen();
    for part in
        ["North becomes compliant", "capacity, camera", "0 -> 5", "It would be logged as: key-claimed"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(
        tenant.show_group("North")["capacity"],
        serde_json::json!({}),
        "nothing changes before the answer"
    );
    let version = tenant.version();
    terminal.press("y\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("active"), "{screen}");
    let group = tenant.show_group("North");
    assert_eq!(group["capacity"]["camera"], 5);
    // The date the person saw is the date there is.
    assert!(shown.contains(group["coterm_at"].as_str().unwrap()), "{shown}");
    assert!(tenant.version() > version);
}

/// Anything but yes is no, with an exit status of its own, and nothing changes.
#[test]
fn what_is_not_confirmed_changes_nothing() {
    let cloud = Cloud::start();
    let (tenant, code) = tenant(&cloud);
    let version = tenant.version();
    // Ctrl-D is the end of input.
    for answer in ["n\n", "\n", "yes please\n", "\u{4}"] {
        let mut terminal = claim(&tenant, &code);
        terminal.expect("[y/N]");
        terminal.press(answer);
        let (status, screen) = terminal.end();
        assert_eq!(status, DECLINED, "{answer:?}: {screen}");
        assert!(
            screen.contains("NOT_CONFIRMED: nothing was changed")
                || screen.contains("NOT_CONFIRMED\u{1b}[0m"),
            "{screen}"
        );
    }
    assert_eq!(tenant.version(), version);
    assert_eq!(tenant.show_group("North")["capacity"], serde_json::json!({}));
}

/// Domain T2: what moved between the preview and the answer is not decided on an old picture.
#[test]
fn what_changed_since_the_preview_is_refused_with_a_hint_to_look_again() {
    let cloud = Cloud::start();
    let (tenant, code) = tenant(&cloud);
    let mut terminal = claim(&tenant, &code);
    terminal.expect("[y/N]");
    tenant.license("North", "camera", 7, YEAR);
    let version = tenant.version();
    terminal.press("y\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, CONFLICT, "{screen}");
    assert!(screen.contains("PREVIEW_OUTDATED") && screen.contains("preview it again"), "{screen}");
    assert_eq!(tenant.version(), version, "nothing was applied");
    assert_eq!(tenant.show_group("North")["capacity"]["camera"], 7);

    // A change elsewhere in the organization is no reason.
    let mut terminal = claim(&tenant, &code);
    terminal.expect("[y/N]");
    let _ = tenant.group("South");
    terminal.press("Y\n");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(tenant.show_group("North")["capacity"]["camera"], 12);
}

/// A script is never asked: without `--yes` it is refused, and told what to pass.
#[test]
fn without_a_terminal_nothing_is_applied_unless_yes_was_said() {
    let cloud = Cloud::start();
    let (tenant, code) = tenant(&cloud);
    let arguments = ["key", "claim", &code, "--group", "North"];
    let version = tenant.version();
    let said = tenant.coterm(&arguments);
    assert_eq!(said.code, DECLINED, "{said:?}");
    assert!(said.stdout.is_empty(), "answers alone go to standard output: {said:?}");
    assert!(said.stderr.contains("nobody to ask") && said.stderr.contains("--yes"), "{said:?}");
    assert!(!said.stderr.contains('\u{1b}'), "no colors where there is no terminal: {said:?}");
    assert_eq!(tenant.version(), version);
    assert_eq!(tenant.coterm(&[&arguments[..], &["--yes"]].concat()).code, 0);
}

/// A table fits the terminal it is shown on; a pipe gets whole lines; `NO_COLOR` is heard; a reader may leave early.
#[test]
fn what_is_printed_suits_where_it_goes() {
    let cloud = Cloud::start();
    let (tenant, code) = tenant(&cloud);
    tenant.claim(&code, "North");
    let list = ["key", "list", "--org", &tenant.id];
    let at = |columns, color: bool, arguments: &[&str]| {
        let mut command = tenant.operator.command(arguments);
        if !color {
            command.env("NO_COLOR", "1");
        }
        Terminal::run(command, columns).end()
    };
    let (status, wide) = at(250, true, &list);
    assert_eq!((status, wide.trim_end().lines().count()), (0, 2), "{wide}");
    let (_, wrapped) = at(140, true, &list);
    assert!(
        wrapped.lines().count() > 2 && wrapped.lines().all(|line| line.chars().count() <= 140),
        "{wrapped}"
    );
    let (_, narrow) = at(60, true, &list);
    assert!(narrow.starts_with("ID") && narrow.contains("\nNEXT"), "{narrow}");
    assert_eq!(tenant.coterm(&["key", "list"]).stdout.lines().count(), 2);

    let unknown = ["group", "show", "none", "--org", &tenant.id];
    assert!(at(80, true, &unknown).1.contains("\u{1b}[1;31mNOT_FOUND"));
    assert!(at(80, false, &unknown).1.starts_with("NOT_FOUND: "));

    // The codes of keys are masked wherever keys are listed.
    for format in ["table", "json", "jsonl", "csv"] {
        let said = tenant.coterm(&["key", "list", "-o", format]);
        assert!(said.code == 0 && !said.stdout.contains(&code) && said.stdout.contains("*****-"), "{said:?}");
        match format {
            "jsonl" => assert!(said.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())),
            "csv" => assert!(said.stdout.starts_with("id,code,state,group_name,")),
            _ => {}
        }
    }

    // A reader that leaves early: `| head`.
    let mut command = tenant.operator.command(&["log", "list", "-o", "json", "--org", &tenant.id]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success() && stderr.is_empty(), "{stderr}");
}
