//! The daemon's command line as an operator meets it: exit codes, one sentence for every fault, an orderly stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it is a test"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn program(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coterm-cloud"));
    command.env_clear().current_dir(dir.path());
    command.args(["--set", "http.listen=127.0.0.1:0", "--set", "mqtt.embedded.listen=127.0.0.1:0"]);
    command
}

fn run(dir: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(dir).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A daemon that is killed when the test ends early.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn serve(dir: &TempDir) -> Daemon {
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let child = program(dir).arg("serve").stderr(log).stdout(Stdio::null()).spawn().unwrap();
    let daemon = Daemon(child);
    let log = dir.path().join("log");
    wait_for("the daemon is ready", || fs::read_to_string(&log).unwrap().contains("ready"));
    daemon
}

fn terminate(daemon: &Daemon) {
    let pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn a_daemon_that_is_told_to_stop_ends_with_0_and_starts_again() {
    let dir = TempDir::new().unwrap();
    for _ in 0..2 {
        let mut daemon = serve(&dir);
        let (code, _, stderr) = run(&dir, &["serve"]);
        assert_eq!((code, stderr.lines().count()), (5, 1), "{stderr}");
        assert!(stderr.contains("in use by another coterm-cloud"), "{stderr}");
        terminate(&daemon);
        assert_eq!(daemon.0.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn every_fault_has_its_exit_code_and_no_backtrace() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", taken.local_addr().unwrap());
    let file = dir.path().join("broken.toml");
    fs::write(&file, "[http]\nlisten_on = 1\n[log]\nformat = \"xml\"\n").unwrap();
    let broken = file.display().to_string();
    for (arguments, code, says) in [
        (&["dance"][..], 2, "unrecognized subcommand"),
        (&["--config", &broken, "serve"], 3, "broken.toml:2: http.listen_on: there is no such key"),
        (&["--config", &broken, "check"], 3, "broken.toml:4: log.format"),
        (&["--config", "/nowhere.toml", "check"], 3, "/nowhere.toml: cannot be read"),
        (&["--set", "http.listen=0.0.0.0:0", "serve"], 3, "allow_plain_http"),
        (&["--set", &listen, "serve"], 5, "set http.listen to a free address"),
        (&["--data-dir", "/proc/nowhere", "serve"], 5, "set data_dir to one this user may write"),
    ] {
        let (found, _, stderr) = run(&dir, arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says) && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn check_says_one_line_each_and_finds_a_readable_key() {
    let dir = TempDir::new().unwrap();
    let (code, stdout, _) = run(&dir, &["check"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(!dir.path().join("coterm-data").exists());
    let daemon = serve(&dir);
    terminate(&daemon);
    drop(daemon);
    let key = dir.path().join("coterm-data/keys/keyring.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stdout, _) = run(&dir, &["check"]);
    assert_eq!(code, 4, "{stdout}");
    let wrong: Vec<&str> = stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(wrong.len() == 1 && wrong[0].contains("chmod 600"), "{stdout}");
    assert_eq!(run(&dir, &["serve"]).0, 5);
}

#[test]
fn the_example_can_be_served_as_it_is() {
    let dir = TempDir::new().unwrap();
    let (code, example, _) = run(&dir, &["config", "--example"]);
    assert_eq!(code, 0);
    fs::write(dir.path().join("coterm-cloud.toml"), example).unwrap();
    let (code, stdout, stderr) = run(&dir, &["--config", "coterm-cloud.toml", "check"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (code, stdout, _) = run(&dir, &["migrate"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(Path::new(&dir.path().join("coterm-data/coterm.db")).exists());
}
