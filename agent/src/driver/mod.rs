//! The loop of the device: verify, step, persist, actuate, report, in exactly that order.
//!
//! **Problem.** Messages, time, crashes and full disks come in any order, and after all of them the device must be in
//! the mode its last verified token says, and say so. **Method.** [`Driver::handle`] takes one input and the clocks,
//! lets `shared` verify and decide, puts on disk what must be there, and returns what is to be done next as
//! [`Effects`]. It is synchronous and touches the outside only through [`StateStore`], so a test can kill it between
//! any two steps. Nothing is sent once and trusted: every round derives order and report from state alone, and
//! whoever loses one gets it again.
//!
//! **If the state cannot be saved** (disk full): a new token or keyring is then neither believed nor acknowledged, as
//! if it had not arrived, and is tried again; enforcing it would let a power cut take it back (the accepted version
//! never decreases), and no milder mode is ever actuated that is not on disk. What the token *on disk* says goes on
//! being walked by trusted time, also into a stricter mode: everything that decides it is on disk, a reboot comes to
//! the same verdict no earlier than time allows, and filling the disk must not be a way out of a lock. The failure is
//! in every report until a save succeeds.
//!
//! **Deliberately absent:** sockets, files, processes, randomness and clocks; see `run`, `mqtt`, `actuator`.

mod intake;
mod open;
mod outputs;
mod roots;
mod saved;
#[cfg(test)]
mod tests;

pub use saved::StoredState;

use crate::actuator::Order;
use crate::actuator::worker::Outcome;
use crate::state_file::StateStore;
use coterm_shared::enforcement::{
    ClockReading, Decision, DeviceClass, Inputs, LicenseState, ModeCap, PublicState, Refused, TrustedClock,
    TrustedTime, step,
};
use coterm_shared::time::Seconds;
use coterm_shared::token::{Expected, Keyring, Nonce, Root, VerifiedToken};
use outputs::{Grounds, Published};
use saved::{Pair, Saved};

/// Who this device is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Whose tokens count.
    pub expected: Expected,
    /// What the device is.
    pub class: DeviceClass,
    /// How far enforcement may go on it.
    pub cap: ModeCap,
    /// Between two reports when nothing happens.
    pub heartbeat: Seconds,
}

/// What can happen to a device.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived; the ticket acknowledges it.
    Message {
        /// What acknowledges it, by [`Effects::acknowledge`].
        ticket: u64,
        /// Where it was published.
        topic: String,
        /// Its bytes, not looked at by anybody yet.
        payload: Vec<u8>,
    },
    /// A session with the broker began.
    Connected,
    /// It ended.
    Disconnected,
    /// Time passed.
    Tick,
    /// The pause before a report that could wait is over.
    Speak,
    /// The actuators were driven.
    Driven(Outcome),
    /// The agent is ending.
    Ending,
}

/// How soon a report is to be with the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Haste {
    /// About what a whole fleet may have done in the same moment: once that moment is over.
    Soon,
    /// About what somebody waits for, or what concerns this device alone.
    AtOnce,
}

/// What is to be done now, in this order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Tickets of messages that are dealt with for good.
    pub acknowledge: Vec<u64>,
    /// What to drive the device to.
    pub order: Option<Order>,
    /// What the device's programs may read.
    pub public_state: Option<PublicState>,
    /// What to tell the cloud.
    pub report: Option<Vec<u8>>,
    /// Whether a report waits to be asked for with [`Input::Speak`], after `line::report_pause`: it is about what this
    /// device was told to do, as many others may have been in the same moment.
    pub report_waits: bool,
    /// A request for a fresh token.
    pub request: Option<Vec<u8>>,
    /// When to come back at the latest, in device time.
    pub wake_in: Seconds,
}

/// A message that is verified and not yet on disk, with what acknowledges it.
#[derive(Clone, Debug)]
struct Waiting {
    ticket: u64,
    unsaved: Unsaved,
}

/// What could not be saved.
#[derive(Clone, Debug)]
enum Unsaved {
    /// A token; its signature need not be checked at every attempt.
    Token(Box<VerifiedToken>),
    /// A keyring, as received.
    Keyring(Vec<u8>),
    /// The keyring under the root that is pending.
    Pair,
}

/// A nonce on its way to the cloud and back.
#[derive(Clone, Debug)]
struct Outstanding {
    nonce: Nonce,
    sent_boot_secs: u64,
}

/// How saving goes.
#[derive(Clone, Copy, Debug, Default)]
struct StoreHealth {
    failures: u32,
    retry_boot_secs: u64,
}

/// The state of the device, as of the last input.
pub struct Driver<S> {
    identity: Identity,
    root: Root,
    /// The digest of the root file, from which `root` was reached.
    pin: [u8; 32],
    /// A newer root, reached from `root` and not counted before a keyring under it is there (token §3).
    pending: Option<Root>,
    store: S,
    random: fn() -> u32,
    clock: TrustedClock,
    reading: ClockReading,
    saved: Saved,
    keyring: Option<Keyring>,
    /// The keyring held under the root file before, until one under this root takes its place. No new token counts by it.
    replaced: Option<Pair>,
    token: Option<VerifiedToken>,
    license: Option<LicenseState>,
    refused: Refused,
    waiting: Option<Waiting>,
    /// A token refused for want of a newer keyring: tried again when one arrives.
    early: Option<Vec<u8>>,
    /// A keyring refused for want of a newer root: tried again when one arrives.
    early_keyring: Option<Vec<u8>>,
    health: StoreHealth,
    connected: bool,
    time_proven: bool,
    outstanding: Option<Outstanding>,
    next_nonce_boot_secs: u64,
    order: Option<Order>,
    /// What it was made of.
    ordered_for: Option<Grounds>,
    outcome: Option<Outcome>,
    ordered_boot_secs: u64,
    report_wanted: Option<Haste>,
    /// The next report shows the token held.
    proof_wanted: bool,
    next_report_boot_secs: u64,
    /// Reports about faults alone are held back until then.
    next_fault_report_boot_secs: u64,
    /// Reports about refusals alone are held back until then.
    next_refusal_report_boot_secs: u64,
    published: Option<Published>,
}

impl<S: StateStore> Driver<S> {
    /// Takes one input at these clocks.
    pub fn handle(&mut self, input: Input, reading: ClockReading) -> Effects {
        self.reading = reading;
        self.clock.observe(&reading);
        let mut effects = Effects::default();
        match input {
            Input::Message { ticket, topic, payload } => {
                self.message(ticket, &topic, payload, &mut effects.acknowledge);
            }
            Input::Connected => {
                self.connected = true;
                self.want_report(Haste::AtOnce);
                // Tickets of an old session mean nothing in this one; the broker sends again what it still has.
                self.waiting = None;
            }
            Input::Disconnected => self.connected = false,
            Input::Tick => {}
            // One that went with something else in the meantime is not wanted again.
            Input::Speak => self.report_wanted = self.report_wanted.map(|_| Haste::AtOnce),
            Input::Driven(outcome) => {
                let changed = self.outcome.as_ref().is_none_or(|before| before.faults != outcome.faults);
                self.outcome = Some(outcome);
                if changed {
                    self.report_faults();
                }
            }
            Input::Ending => {
                self.save_now();
                return effects;
            }
        }
        self.retry_waiting(&mut effects.acknowledge);
        self.settle(&mut effects);
        effects
    }

    /// The time of the last input, for whoever else has to judge by it.
    pub fn trusted_time(&self) -> TrustedTime {
        self.clock.time()
    }

    fn decide(&self) -> Decision {
        step(&self.inputs())
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs { license: self.license.as_ref(), time: self.clock.time(), cap: self.identity.cap }
    }

    /// Derives everything there is to do from state alone.
    fn settle(&mut self, effects: &mut Effects) {
        let decision = self.decide();
        let mode_is_new = self.saved.record.mode.is_none_or(|saved| saved.mode != decision.mode);
        if mode_is_new {
            self.want_report(Haste::Soon);
        }
        let order_is_new = self.order.as_ref().is_none_or(|order| order.mode != decision.mode);
        if mode_is_new && order_is_new {
            // A mode is on disk before it is ordered, also if saving has just failed: it may work again.
            self.save_now();
        } else if mode_is_new || self.order.is_some() {
            // Right after the start the last verdict comes first, and its tick in the round after.
            self.save_time(mode_is_new);
        }
        effects.order = self.new_order(&decision);
        effects.public_state = self.new_public_state(&decision);
        effects.request = self.new_request();
        effects.report = self.new_report(&decision);
        effects.report_waits = self.connected && self.report_wanted == Some(Haste::Soon);
        effects.wake_in = self.wake_in(&decision);
    }
}
