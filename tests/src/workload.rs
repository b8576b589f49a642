//! What a supervised device does, seen from outside: whether it runs, how often it was started, whether ever twice.

use rustix::process::{Flock, FlockOffsetType, FlockType, Pid, Signal, fcntl_getlk, kill_process_group};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The directory in which `coterm-workload` leaves its traces.
#[derive(Debug)]
pub struct Workload {
    dir: PathBuf,
}

impl Workload {
    /// A workload that has never run.
    ///
    /// # Panics
    /// The directory cannot be made.
    #[must_use]
    pub fn new(dir: &Path) -> Workload {
        std::fs::create_dir_all(dir).expect("a directory can be made");
        File::create(dir.join("running")).expect("a file can be made");
        Workload { dir: dir.to_owned() }
    }

    /// Where it leaves its traces.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process that runs, if one does: who holds the lock. Asking does not take it.
    ///
    /// # Panics
    /// The lock file cannot be opened.
    #[must_use]
    pub fn running(&self) -> Option<Pid> {
        let file =
            File::options().write(true).open(self.dir.join("running")).expect("the lock file is there");
        let ask = Flock {
            start: 0,
            length: 0,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        fcntl_getlk(&file, &ask).expect("a lock can be asked for").and_then(|held| held.pid)
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.lines("starts")
    }

    /// How often it was started while it was running.
    #[must_use]
    pub fn doubled(&self) -> usize {
        self.lines("doubled")
    }

    fn lines(&self, file: &str) -> usize {
        std::fs::read_to_string(self.dir.join(file)).unwrap_or_default().lines().count()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // It outlives its agent by design; it must not outlive its test.
        if let Some(pid) = self.running() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
