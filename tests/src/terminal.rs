//! A program at a terminal, and somebody who reads and types: what only happens where a person sits can be tested.
//!
//! The program gets a pseudo-terminal as standard input, output and error. It is no session leader, so nobody can press
//! Ctrl-C; the end of input (Ctrl-D) is the terminal's own doing and works.

use crate::wait::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A running program and its terminal. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a program at a terminal of so many columns.
    ///
    /// # Panics
    /// There is no terminal, or the program cannot be started.
    #[must_use]
    pub fn run(mut command: Command, columns: u16) -> Terminal {
        let owner =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&owner).and_then(|()| unlockpt(&owner)).expect("a terminal that can be opened");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&owner, size).expect("a terminal has a size");
        let path = ptsname(&owner, Vec::new()).expect("a terminal has a name");
        let path = PathBuf::from(path.into_string().expect("a name is text"));
        let open = || File::options().read(true).write(true).open(&path).expect("a terminal opens");
        let child = command
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // What the command holds of the terminal would keep it open for ever.
        drop(command);
        let keyboard = File::from(owner);
        let mut output = keyboard.try_clone().expect("a terminal can be shared");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // When the last program has gone, reading fails: the terminal was hung up.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                filled.lock().expect("nobody panics with it").extend(bytes.iter().take(count));
            }
        });
        Terminal { child, keyboard, screen }
    }

    /// What was shown so far, lines ended as in a file.
    ///
    /// # Panics
    /// Never, unless the reader did.
    #[must_use]
    pub fn screen(&self) -> String {
        let bytes = self.screen.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }

    /// Waits until this is shown.
    ///
    /// # Panics
    /// It is not, for long.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        eventually(text, || if self.screen().contains(text) { Ok(()) } else { Err(self.screen()) });
    }

    /// Types this.
    ///
    /// # Panics
    /// The terminal is gone.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a keyboard");
    }

    /// Waits until the program ends; its exit code and all that was shown.
    ///
    /// # Panics
    /// It does not end, or a signal ended it.
    #[track_caller]
    #[must_use]
    pub fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        // The last words may still be on their way: the reader lets go of the screen when it has all.
        eventually("the terminal to be hung up", || match Arc::strong_count(&self.screen) {
            1 => Ok(()),
            _ => Err(String::from("open")),
        });
        (status.code().unwrap_or_else(|| panic!("{status}")), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
