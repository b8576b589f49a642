//! A machine whose wall clock is wrong, for one program: libfaketime between the program and the system.
//!
//! The wall clock alone is moved. The boot clock, which programs of this project ask the kernel itself for, runs on: just as
//! on a device with a dead battery, or a server somebody set wrong.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A wall clock that tests set.
#[derive(Clone, Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right until it is set; its setting lies in `dir`. `None` if libfaketime is not installed, which is an
    /// error where `COTERM_REQUIRE_PEER` is set.
    ///
    /// # Panics
    /// It is required and not there, or its file cannot be written.
    #[must_use]
    pub fn new(dir: &Path) -> Option<WallClock> {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| PathBuf::from(format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1")))
            .into_iter()
            .find(|path| path.is_file());
        let required = std::env::var_os("COTERM_REQUIRE_PEER").is_some();
        assert!(library.is_some() || !required, "this test sets clocks: apt-get install faketime");
        let clock = WallClock { library: library?, file: dir.join("wall-clock") };
        clock.off_by(0);
        Some(clock)
    }

    /// Sets it: so many seconds away from the truth, from now on, also for programs that run.
    ///
    /// # Panics
    /// Its file cannot be written.
    pub fn off_by(&self, secs: i64) {
        // In one step: a program reads it at any moment.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{secs:+}\n")).expect("the clock can be set");
        std::fs::rename(next, &self.file).expect("the clock can be set");
    }

    /// Sets it to the beginning of this year, from where it runs on.
    pub fn year(&self, year: i64) {
        let wanted = (year - 1970) * 31_556_952 + 60;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.off_by(wanted.saturating_sub_unsigned(now));
    }

    /// What a program's environment needs to have this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", String::from("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", String::from("1")),
            ("NO_FAKE_STAT", String::from("1")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
