//! Processes, named so that a number used twice is never mistaken.
//!
//! A pid alone names nothing: the kernel hands it out again. A process here is its pid and its start time from
//! `/proc`, and it is signalled through a pidfd opened *before* that start time is compared, so the signal reaches
//! that process or nobody. Needs Linux 5.3 or newer.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How waiting for a child ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was up and its group was killed.
    TimedOut,
}

/// Gives a child the agent's environment without what belongs to the agent alone, plus the order's variables.
pub(super) fn clean_environment(command: &mut Command, extra: &[(&'static str, String)]) {
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_none_or(|name| name.starts_with("COTERM_"));
        if ours {
            command.env_remove(name);
        }
    }
    // Service-manager handles: a workload must neither answer the agent's watchdog nor announce its readiness.
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "CREDENTIALS_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    command.envs(extra.iter().map(|(name, value)| (*name, value)));
}

/// Waits for a child that leads its own group; after `timeout` kills the group and reaps the child.
pub(super) fn wait_or_kill_group(child: &mut Child, timeout: Duration) -> io::Result<Waited> {
    let pid = Pid::from_child(child);
    let exited = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => wait_exit(&pidfd, timeout),
        Err(errno) => Err(errno.into()),
    };
    if matches!(exited, Ok(true)) {
        return child.wait().map(Waited::Exited);
    }
    // Not reaped yet, so the group's number is still this group's.
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait()?;
    exited.map(|_| Waited::TimedOut)
}

/// Whether the process ended within `timeout`.
pub(super) fn wait_exit(pidfd: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timespec = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What `/proc/PID/stat` says about a process that is not a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    group: i32,
    start_time: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The name is in parentheses and may contain anything, also parentheses: what counts starts after the last one.
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    let group = fields.nth(1)?.parse().ok()?;
    // Field 22 of the line; 3, 4 and 5 are taken.
    let start_time = fields.nth(16)?.parse().ok()?;
    Some(Stat { group, start_time })
}

/// When a living process started, in clock ticks since boot; `None` if there is none with this pid.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// Every living process that is in the group `group` or has the file at `lock` open.
pub(super) fn members(group: Option<i32>, lock: &Path) -> Vec<(i32, u64)> {
    // Without the file the group is still known.
    let lock = std::fs::metadata(lock).ok();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).ok();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| Some(*pid) != own)
        .filter_map(|pid| {
            let stat = stat(pid)?;
            let holds = || lock.as_ref().is_some_and(|lock| has_open(pid, lock.dev(), lock.ino()));
            (Some(stat.group) == group || holds()).then_some((pid, stat.start_time))
        })
        .collect()
}

fn has_open(pid: i32, dev: u64, ino: u64) -> bool {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    fds.flatten()
        .any(|fd| std::fs::metadata(fd.path()).is_ok_and(|file| file.dev() == dev && file.ino() == ino))
}

/// A handle on exactly the process with this pid and start time.
pub(super) fn open(pid: i32, started: Option<u64>) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Compared after opening: if it matches now, the handle is of that process.
    let now = start_time(pid)?;
    (started.is_none_or(|started| started == now)).then_some(pidfd)
}

/// Signals exactly this process, or nobody.
pub(super) fn signal(pid: i32, started: Option<u64>, signal: Signal) {
    if let Some(pidfd) = open(pid, started) {
        // A process that ended meanwhile needs no signal.
        let _ = pidfd_send_signal(&pidfd, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_hides_nothing() {
        let tail = "S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2";
        for name in ["(sh)", "(a) Z 1 (b)", "(x y)"] {
            let found = parse_stat(&format!("12 {name} {tail}")).unwrap();
            assert_eq!(found, Stat { group: 77, start_time: 4242 });
        }
        assert_eq!(parse_stat("12 (sh) Z 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 4242"), None);
        assert_eq!(parse_stat("12 (sh"), None);
    }

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let started = start_time(own).unwrap();
        assert!(open(own, Some(started)).is_some());
        assert!(open(own, Some(started + 1)).is_none());
        // Would end this test if it reached us.
        signal(own, Some(started + 1), Signal::KILL);
    }
}
