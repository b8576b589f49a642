//! What a newcomer sees first: the demonstration runs to its end, says so, and leaves nothing behind.

use coterm_tests::process::{Process, program};
use coterm_tests::wait::{PATIENCE, eventually, holds};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn start(home: &Path, arguments: &[&str]) -> Process {
    let temporary = home.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(program("coterm-cloud"));
    command.arg("demo").args(arguments).current_dir(home).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", home).env("TMPDIR", &temporary);
    Process::start("demonstration", command, &home.join("demo.log"))
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
fn left_nothing(home: &Path) {
    eventually("every process of the demonstration to be gone", || {
        let left = processes_of(home);
        holds(left.is_empty(), left)
    });
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
    let home = TempDir::new().unwrap();
    let mut demo = start(home.path(), &["--scenario", "still"]);
    eventually("the demonstration to run its devices", || {
        let running = processes_of(home.path());
        holds(running.iter().filter(|line| line.contains("coterm-agent")).count() >= 3, running)
    });
    demo.signal(rustix::process::Signal::INT);
    let status = demo.wait(PATIENCE);
    assert_ne!(status.code(), None, "it ends by itself: {status}");
    left_nothing(home.path());
}
