//! A program under test: started in a process group of its own, logged to a file, and gone when the test is.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Where a program of this workspace was built, beside the test that runs.
///
/// # Panics
/// It was not built, with what to do.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    // target/<profile>/deps/<test>
    let directory = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_path_buf();
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is not built. `make test` builds it before the tests, and so does: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// A running program. Dropping it kills its whole process group and prints its log if the test has failed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says goes to the end of `log`.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: &Path) -> Process {
        let file = File::options().create(true).append(true).open(log).expect("a log can be written");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log can be shared"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Process { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status, if it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn os_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the program alone, not to its group.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill_process(self.os_pid(), signal);
        }
    }

    /// `kill -9`, the program alone: what it started lives on, as on a device.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Asks the program to end and waits for it.
    ///
    /// # Panics
    /// It does not end within half a minute.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(30))
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// It does not end in `time`.
    #[track_caller]
    pub fn wait(&mut self, time: Duration) -> ExitStatus {
        let deadline = Instant::now() + time;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end. Its log:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process_group(self.os_pid(), Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(12_000);
            let tail = log.get(from..).unwrap_or(&log);
            eprintln!("--- log of {} ---\n{tail}", self.name);
        }
    }
}

/// What a program that was run to its end had to say.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a program to its end, at most half a minute.
///
/// # Panics
/// It cannot be started or does not end.
#[track_caller]
#[must_use]
pub fn run(mut command: Command) -> Said {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_child(&child);
    // A watchdog instead of a wait with a deadline: reading both pipes to their ends needs the child's own end.
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hangs =
            ended.recv_timeout(Duration::from_secs(30)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if hangs {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        hangs
    });
    let mut stdout = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stdout, &mut text);
        text
    });
    let mut stderr = Vec::new();
    let _ = std::io::Read::read_to_end(child.stderr.as_mut().expect("piped"), &mut stderr);
    let stdout = reader.join().expect("the reader does not panic");
    let status = child.wait().expect("a child can be waited for");
    drop(done);
    let said = Said::from(Output { status, stdout, stderr });
    assert!(!watchdog.join().expect("the watchdog does not panic"), "{command:?} does not end: {said:?}");
    said
}
