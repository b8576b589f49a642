//! What a newcomer sees first: the demonstration runs to its end, says so, and leaves nothing behind.

use coterm_tests::process::{Process, program};
use coterm_tests::wait::{PATIENCE, eventually, holds};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn command(home: &Path, arguments: &[&str]) -> Command {
    let temporary = home.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(program("coterm-cloud"));
    command.arg("demo").args(arguments).current_dir(home).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", home).env("TMPDIR", &temporary);
    command
}

fn start(home: &Path, arguments: &[&str]) -> Process {
    Process::start("demonstration", command(home, arguments), &home.join("demo.log"))
}

/// A demonstration that shows an installation with all its devices.
fn still(home: &Path) -> Process {
    let demo = start(home, &["--scenario", "still"]);
    eventually("the demonstration to invite", || {
        holds(demo.log().contains("Everything goes on running"), demo.log())
    });
    let running = processes_of(home);
    // A process that is about to become a hook or workload still has the line of the agent that makes it.
    let agents: BTreeSet<&String> = running.iter().filter(|line| line.contains("coterm-agent run")).collect();
    assert_eq!(agents.len(), 6, "{running:?}");
    demo
}

/// The processes that have to do with `home`, by their command lines.
fn processes_of(home: &Path) -> Vec<String> {
    let home = home.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(home)).collect()
}

#[track_caller]
fn left_no_process(home: &Path) {
    eventually("every process of the demonstration to be gone", || {
        let left = processes_of(home);
        holds(left.is_empty(), left)
    });
}

#[track_caller]
fn left_nothing(home: &Path) {
    left_no_process(home);
    let left: Vec<_> =
        std::fs::read_dir(home.join("tmp")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn the_demonstration_shows_the_whole_ladder_and_leaves_nothing() {
    let home = TempDir::new().unwrap();
    let mut demo = start(home.path(), &["--scenario", "ladder", "--exit"]);
    let status = demo.wait(PATIENCE * 3);
    assert!(status.success(), "{status}: {}", demo.log());
    for step in ["grace", "management-locked", "stopped", "licensed"] {
        assert!(demo.log().contains(step), "{step} is not shown:\n{}", demo.log());
    }
    left_nothing(home.path());
}

#[test]
fn a_demonstration_that_is_interrupted_leaves_nothing_either() {
    // Ctrl-C, `kill`, and a terminal that is closed.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = TempDir::new().unwrap();
        let mut demo = still(home.path());
        demo.signal(signal);
        let status = demo.wait(PATIENCE);
        assert_ne!(status.code(), None, "it ends by itself: {status}");
        left_nothing(home.path());
    }
}

#[test]
fn a_demonstration_that_is_killed_leaves_no_process() {
    let home = TempDir::new().unwrap();
    let mut demo = still(home.path());
    demo.kill();
    left_no_process(home.path());
}

#[test]
fn a_demonstration_nobody_watches_any_more_ends() {
    let home = TempDir::new().unwrap();
    let mut command = command(home.path(), &["--scenario", "still"]);
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `| head` does.
    drop(demo.stdout.take());
    let said = demo.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stderr), "");
    left_nothing(home.path());
}

#[test]
fn a_demonstration_takes_no_settings_of_the_daemon_and_clears_what_a_killed_one_left() {
    let home = TempDir::new().unwrap();
    for flags in [["--data-dir", "x"].as_slice(), &["--set", "http.listen=127.0.0.1:1"], &["--demonstration"]]
    {
        let mut refused = Command::new(program("coterm-cloud"));
        refused.arg("demo").args(flags).current_dir(home.path()).env_clear();
        let output = refused.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("`demo` takes no {}", flags[0])), "{said}");
    }
    let mut next = command(home.path(), &["--scenario", "still", "--exit"]);
    // No process has such a number.
    let left = home.path().join("tmp/coterm-demo-4194999");
    std::fs::create_dir(&left).unwrap();
    let other = home.path().join("tmp/coterm-demo-notes");
    std::fs::create_dir(&other).unwrap();
    assert!(next.output().unwrap().status.success());
    assert!(!left.exists() && other.exists());
}
