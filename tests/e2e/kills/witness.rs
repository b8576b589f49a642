//! Who looks at devices all the while, and remembers.

use super::work::Capacity;
use crate::ladder::is_consistent;
use coterm_shared::enforcement::{OperatingMode, PublicState};
use coterm_shared::token::TokenVersion;
use coterm_tests::device::Device;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One device, as far as it shows itself to its own programs.
struct Seen {
    id: String,
    file: PathBuf,
    held: Option<TokenVersion>,
    /// In which modes it was with which token, since the last judgement.
    modes: BTreeMap<TokenVersion, BTreeSet<OperatingMode>>,
    tokens: usize,
    /// How many changes had been answered when the token judged last was issued.
    answered: Option<usize>,
}

pub(super) struct Witness {
    devices: Vec<Seen>,
    looks: u64,
}

impl Witness {
    pub(super) fn of(devices: &[Device]) -> Witness {
        let seen = |device: &Device| Seen {
            id: device.id().to_owned(),
            file: device.dir().join("run/state.json"),
            held: None,
            modes: BTreeMap::new(),
            tokens: 0,
            answered: None,
        };
        Witness { devices: devices.iter().map(seen).collect(), looks: 0 }
    }

    /// Looks until the end, and once after it.
    pub(super) fn watch(&mut self, end: &AtomicBool) {
        loop {
            let last = end.load(Ordering::SeqCst);
            for device in &mut self.devices {
                // Replaced by rename: whole whenever it is read, whoever was killed over it.
                let text = std::fs::read_to_string(&device.file).expect("a state file");
                let state: PublicState =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                is_consistent(&state);
                assert!(
                    state.token >= device.held,
                    "{} went back from {:?}: {state:?}",
                    device.id,
                    device.held
                );
                device.held = state.token;
                if let Some(token) = state.token {
                    device.modes.entry(token).or_default().insert(state.mode);
                }
                self.looks += 1;
            }
            if last {
                return;
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Every mode seen was ordered by the books when they issued the token held then. What is to be issued is looked up a
    /// moment before it is: the first token after a change may still be of the books before it, and no second one.
    pub(super) fn judge(&mut self, capacity: &Capacity) {
        for device in &mut self.devices {
            for (token, modes) in std::mem::take(&mut device.modes) {
                // A sequence is the millisecond of its issue (token §3).
                let answered = capacity.answered_by(token.seq);
                let first = device.answered < answered;
                for mode in modes {
                    let fits = first || capacity.ordered(mode, token.seq);
                    assert!(fits, "{}: {mode} by {token}, after {answered:?} changes", device.id);
                }
                device.answered = answered;
                device.tokens += 1;
            }
        }
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn tokens(&self) -> usize {
        self.devices.iter().map(|device| device.tokens).sum()
    }
}
