//! A real child process under a supervisor that dies and comes back.

use super::*;
use coterm_shared::enforcement::OperatingMode;

fn order(mode: OperatingMode) -> Order {
    Order { mode, environment: [("COTERM_MODE", mode.name().to_owned())].into() }
}

fn supervisor(dir: &Path, script: &str) -> Supervise {
    let config = WorkloadConfig {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        stop_timeout: Duration::from_millis(500),
    };
    Supervise::new(config, dir, dir.join("state.json"))
}

const FOREVER: &str = "sleep 1000 & wait";

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Kills what a test left running, by its own lock file.
struct Cleanup<'a>(&'a Path);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        // Again and again: a shell may be forking right now.
        loop {
            let left = members(None, &self.0.join("workload.lock"));
            if left.is_empty() {
                break;
            }
            for (pid, started) in left {
                process::signal(pid, Some(started), Signal::KILL);
            }
        }
    }
}

#[test]
fn it_runs_in_the_mild_modes_and_ends_in_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(dir.path());
    let mut workload = supervisor(dir.path(), FOREVER);
    assert_eq!(workload.observe().unwrap(), Observation::At(OperatingMode::Stopped));
    for mode in [OperatingMode::Full, OperatingMode::ManagementLocked] {
        workload.set(&order(mode)).unwrap();
        assert_eq!(workload.observe().unwrap(), Observation::Functioning);
    }
    let (leader, _) = workload.leader().unwrap().unwrap();
    workload.set(&order(OperatingMode::Stopped)).unwrap();
    assert_eq!(workload.observe().unwrap(), Observation::At(OperatingMode::Stopped));
    assert!(members(Some(leader), &workload.lock_path).is_empty(), "its children went with it");
    // And it can be started again at once.
    workload.set(&order(OperatingMode::Full)).unwrap();
    assert_eq!(workload.observe().unwrap(), Observation::Functioning);
}

#[test]
fn a_workload_that_ignores_term_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(dir.path());
    let ready = dir.path().join("ready");
    let mut workload = supervisor(
        dir.path(),
        &format!("trap '' TERM; touch {}; while true; do sleep 1000; done", ready.display()),
    );
    workload.set(&order(OperatingMode::Full)).unwrap();
    until("the trap is set", || ready.exists());
    workload.set(&order(OperatingMode::Stopped)).unwrap();
    assert_eq!(workload.observe().unwrap(), Observation::At(OperatingMode::Stopped));
}

#[test]
fn the_next_agent_adopts_it_also_without_the_pid_file() {
    for with_pid_file in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let _cleanup = Cleanup(dir.path());
        let mut first = supervisor(dir.path(), FOREVER);
        first.set(&order(OperatingMode::Full)).unwrap();
        let leader = first.leader().unwrap().unwrap();
        // As after kill -9: nothing is cleaned up, nobody waits for the child.
        std::mem::forget(first);
        if !with_pid_file {
            std::fs::remove_file(dir.path().join("workload.pid")).unwrap();
        }
        let mut second = supervisor(dir.path(), FOREVER);
        assert_eq!(second.observe().unwrap(), Observation::Functioning);
        second.set(&order(OperatingMode::Full)).unwrap();
        assert_eq!(second.leader().unwrap().unwrap(), leader, "the same one, not a second");
        second.set(&order(OperatingMode::Stopped)).unwrap();
        assert_eq!(second.observe().unwrap(), Observation::At(OperatingMode::Stopped));
    }
}

#[test]
fn dropping_the_supervisor_leaves_it_running() {
    let dir = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(dir.path());
    let mut first = supervisor(dir.path(), FOREVER);
    first.set(&order(OperatingMode::Full)).unwrap();
    drop(first);
    assert_eq!(supervisor(dir.path(), FOREVER).observe().unwrap(), Observation::Functioning);
}

#[test]
fn a_reused_pid_is_not_adopted_and_not_hurt() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = supervisor(dir.path(), FOREVER);
    let own = i32::try_from(std::process::id()).unwrap();
    let other_start = process::start_time(own).unwrap() + 1;
    std::fs::write(&workload.pid_path, format!("{own} {other_start}\n")).unwrap();
    assert_eq!(workload.observe().unwrap(), Observation::At(OperatingMode::Stopped));
    workload.set(&order(OperatingMode::Stopped)).unwrap();
}

#[test]
fn one_that_keeps_ending_is_restarted_with_growing_pauses() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = supervisor(dir.path(), "exit 1");
    workload.set(&order(OperatingMode::Full)).unwrap();
    until("it ended", || workload.observe().unwrap() == Observation::At(OperatingMode::Stopped));
    let again = workload.set(&order(OperatingMode::Full));
    assert!(matches!(again, Err(ActuatorError::BackingOff { .. })), "{again:?}");

    let mut starts = Starts::default();
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        starts.started(now);
        pauses.push(starts.pause_left(now).as_secs());
        now += starts.pause_left(now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    starts.started(now + MAX_PAUSE * 2);
    assert_eq!(starts.pause_left(now + MAX_PAUSE * 2).as_secs(), 1, "forgotten after a minute of running");
}

#[test]
fn a_pid_file_of_another_boot_names_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(dir.path());
    let mut stranger = Command::new("/bin/sleep").arg("1000").process_group(0).spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let started = process::start_time(pid).unwrap();
    let mut workload = supervisor(dir.path(), FOREVER);
    workload.observe().unwrap();
    // The run directory survived a reboot, and by chance the numbers fit; an older agent did not say which boot it was.
    for boot in ["", " 0190a1b2-0000-7000-8000-000000000001"] {
        std::fs::write(&workload.pid_path, format!("{pid} {started}{boot}\n")).unwrap();
        workload.set(&order(OperatingMode::Stopped)).unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "somebody else's process was stopped");
    }
    workload.set(&order(OperatingMode::Full)).unwrap();
    assert_ne!(workload.leader().unwrap().map(|(pid, _)| pid), Some(pid));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn it_is_stopped_also_if_somebody_removed_its_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = supervisor(dir.path(), FOREVER);
    workload.set(&order(OperatingMode::Full)).unwrap();
    let (leader, started) = workload.leader().unwrap().unwrap();
    std::fs::remove_file(&workload.lock_path).unwrap();
    workload.set(&order(OperatingMode::Stopped)).unwrap();
    let lives = process::start_time(leader) == Some(started);
    process::signal(leader, Some(started), Signal::KILL);
    assert!(!lives, "it runs on and is said to be stopped");
}

#[test]
fn r9_a_full_disk_makes_no_workload_unstoppable_and_none_that_runs_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(dir.path());
    // What the pid file is first written to cannot be: as on a full disk, whoever runs this.
    std::fs::create_dir(dir.path().join("workload.pid.new")).unwrap();
    let mut first = supervisor(dir.path(), FOREVER);
    first.set(&order(OperatingMode::Full)).unwrap();
    let (leader, _) = first.leader().unwrap().unwrap();
    // Another agent after it: nothing is written down, and everything is found.
    let mut workload = supervisor(dir.path(), FOREVER);
    assert_eq!(workload.observe().unwrap(), Observation::Functioning);
    workload.set(&order(OperatingMode::ManagementLocked)).unwrap();
    assert_eq!(workload.leader().unwrap().unwrap().0, leader, "no second one was started");
    workload.set(&order(OperatingMode::Stopped)).unwrap();
    assert_eq!(workload.observe().unwrap(), Observation::At(OperatingMode::Stopped));
    assert!(!dir.path().join("workload.pid").exists());
}
