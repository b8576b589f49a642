//! The process and its disk, by the names every Prometheus dashboard knows.

use super::tell::Tell;
use crate::space;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

/// The process and its disk.
#[derive(Debug)]
pub(super) struct Process {
    database: Option<PathBuf>,
}

impl Process {
    pub(super) fn new(database: Option<PathBuf>) -> Process {
        Process { database }
    }
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = Tell(encoder);
        tell.gauges(
            "coterm_build_info",
            "Always 1; the version is the label",
            "version",
            [(env!("CARGO_PKG_VERSION"), 1)],
        )?;
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let (Ok(secs), Ok(nanos)) = (u64::try_from(used.tv_sec), u32::try_from(used.tv_nsec)) else {
            return Err(fmt::Error);
        };
        let used = Duration::new(secs, nanos).as_secs_f64();
        tell.seconds_counter("process_cpu_seconds", "Processor time used", used)?;
        if let Some(bytes) = resident() {
            tell.gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            tell.gauge("process_open_fds", "Open files and sockets", entries.count() as u64)?;
        }
        let Some(database) = &self.database else { return Ok(()) };
        let files = ["", "-wal"].map(|end| {
            let mut name = database.as_os_str().to_owned();
            name.push(end);
            (if end.is_empty() { "database" } else { "journal" }, length(Path::new(&name)))
        });
        tell.gauges("coterm_store_bytes", "Size of the database's files", "file", files)?;
        if let Ok(free) = space::free(database) {
            tell.gauge("coterm_store_free_bytes", "Free space on the database's disk", free)?;
        }
        Ok(())
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Memory in use, as `ps` shows it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
