//! A device's workload, as the tests see one: it holds a lock while it runs and notices a second one of itself.
//!
//! `coterm-workload DIR` locks `DIR/running`, adds a line to `DIR/starts`, and then does nothing until it is told to
//! end, its directory is gone, or it has been forgotten for a quarter of an hour. If the lock is held already it adds a line to `DIR/doubled` and goes on, so that the breach is not lost.

use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn note(path: &Path) -> std::io::Result<()> {
    writeln!(File::options().create(true).append(true).open(path)?, "{}", std::process::id())
}

fn work(dir: &Path) -> std::io::Result<()> {
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("running"))?;
    if fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        note(&dir.join("doubled"))?;
    }
    note(&dir.join("starts"))?;
    let end = Instant::now() + Duration::from_secs(900);
    while dir.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: coterm-workload DIR");
        return ExitCode::from(2);
    };
    match work(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&dir).display());
            ExitCode::FAILURE
        }
    }
}
