//! The demonstration's stage props: a workload that can be seen to run, a hook for the door controller, and a way to
//! start agents that do not outlive the demonstration.
//!
//! They are hidden subcommands of `coterm-cloud`, so that a demonstration needs no other programs. Both are what an
//! integrator would write: the workload knows nothing of licenses, the hook stores the mode it is told.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// The file a workload counts its heartbeats in.
pub(super) const HEARTBEAT_FILE: &str = "heartbeat";
/// The file a workload leaves its process id in.
pub(super) const PID_FILE: &str = "workload.pid";
/// The file the hook keeps the mode in.
pub(super) const MODE_FILE: &str = "mode";

/// A device's function: writes heartbeats to `dir` until it is stopped, or until the process `stage` is gone.
///
/// # Errors
/// If `dir` cannot be written.
pub fn workload(dir: &Path, stage: u32) -> io::Result<()> {
    fs::write(dir.join(PID_FILE), std::process::id().to_string())?;
    let stage = Path::new("/proc").join(stage.to_string());
    let mut beats = 0_u64;
    // A demonstration that was killed leaves no workload behind.
    while stage.exists() {
        beats = beats.saturating_add(1);
        fs::write(dir.join(HEARTBEAT_FILE), beats.to_string())?;
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Becomes a device's agent, which is terminated when the process `stage` ends, in whatever way; returns only if it cannot.
pub fn agent(stage: u32, program: &Path, arguments: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // It may have ended before it was listened for.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(stage) {
        return io::Error::other("the demonstration has ended");
    }
    Command::new(program).args(arguments).exec()
}

/// A door controller's hook: `observe` prints the mode it is in, `set MODE` takes over another.
///
/// # Errors
/// If `dir` cannot be read or written.
pub fn hook(dir: &Path, verb: &str, mode: Option<&str>) -> io::Result<()> {
    let file = dir.join(MODE_FILE);
    match (verb, mode) {
        ("set", Some(mode)) => fs::write(&file, mode),
        ("observe", None) => {
            match fs::read_to_string(&file) {
                Ok(mode) => println!("{mode}"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => println!("unknown"),
                Err(error) => return Err(error),
            }
            Ok(())
        }
        (_, _) => Err(io::Error::new(io::ErrorKind::InvalidInput, "expected `observe` or `set MODE`")),
    }
}
