//! `coterm-cloud backup` and `restore`: what they tell an operator.

use super::{BackupError, Manifest, Restored, Taken, restore, take};
use crate::config::Config;
use coterm_shared::time::Timestamp;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;

/// Makes a backup in a directory and says what is in it; progress goes to a terminal, if there is one.
///
/// # Errors
/// As [`take`].
pub fn take_and_tell(
    config: &Config,
    into: &Path,
    with_keys: bool,
    now: Timestamp,
) -> Result<String, BackupError> {
    let mut bar = Bar::default();
    let mut progress = |done, all| bar.show(done, all);
    let domain = config.trust_domain.as_str();
    let Taken { path, manifest, bytes, left_out } =
        take(&config.data_dir, into, domain, with_keys, now, &mut progress)?;
    let Manifest { organizations, events, last_event_at, files, .. } = &manifest;
    let last = last_event_at.map_or_else(|| String::from("nothing yet"), |at| format!("up to {at}"));
    let mut text = format!(
        "{}\n{organizations} organization(s), {events} log entries ({last}), {} file(s), {bytes} bytes; read back and whole\n",
        path.display(),
        files.len(),
    );
    for path in &left_out {
        // Writing into a string does not fail.
        let _ = writeln!(text, "left out, neither file nor directory: {}", path.display());
    }
    text.push_str(if with_keys {
        "it holds the private keys: who reads it can license any device\n"
    } else {
        "the private keys are not in it: keep `keys/` and `pki/*.key` as safe, or it cannot be started\n"
    });
    Ok(text)
}

/// Puts a backup back and says what that means.
///
/// # Errors
/// As [`restore`].
pub fn restore_and_tell(
    config: &Config,
    from: &Path,
    replace: bool,
    now: Timestamp,
) -> Result<String, BackupError> {
    let Restored { manifest, moved_to } =
        restore(from, &config.data_dir, config.trust_domain.as_str(), replace, now)?;
    let mut text = format!("{} is as of {}\n", config.data_dir.display(), manifest.made_at);
    let mut add = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    if let Some(path) = &moved_to {
        add(&format!("what was there before is in {}; delete it when all is well", path.display()));
    }
    if let Some(at) = manifest.last_event_at {
        add(&format!("what was recorded after {at} is not in it: do it again"));
    }
    if !manifest.with_keys {
        add("the private keys are not in it: put `keys/` and `pki/*.key` back before the start");
    }
    add("API tokens and certificates revoked since then are valid again: revoke them again");
    add(
        "look at the clock of this machine, then start the daemon; devices that hold newer tokens than it knows get new ones",
    );
    Ok(text)
}

/// Progress on a terminal, and nowhere else.
#[derive(Default)]
struct Bar(Option<u64>);

impl Bar {
    fn show(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        if std::io::stderr().is_terminal() && self.0 != Some(percent) {
            self.0 = Some(percent);
            eprint!("\r{percent:3} %{}", if percent >= 100 { "\n" } else { "" });
        }
    }
}
