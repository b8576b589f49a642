//! Bugs that are put in on purpose: each at a port, where a careless adapter would show the same face, or in the rules.
//!
//! A simulator that finds nothing may be blind. Each of these has to be found, by the invariant that is there for it.

use crate::rules::{RULES, Rule};

macro_rules! planted {
    ($($name:ident = $code:literal $by:literal $text:literal,)*) => {
        /// A bug put in on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($name,)*
            /// In a rule of `shared`, in a copy of its sources.
            Rule(&'static Rule),
        }

        /// Those at a port.
        const AT_PORTS: &[Planted] = &[$(Planted::$name,)*];

        impl Planted {
            /// Its stable name.
            pub const fn code(self) -> &'static str {
                match self { $(Planted::$name => $code,)* Planted::Rule(rule) => rule.code }
            }

            /// The number of the invariant that is there for it.
            pub const fn by(self) -> u8 {
                match self { $(Planted::$name => $by,)* Planted::Rule(rule) => rule.by }
            }

            /// What it does.
            pub const fn sentence(self) -> &'static str {
                match self { $(Planted::$name => $text,)* Planted::Rule(rule) => rule.sentence }
            }
        }
    };
}

impl Planted {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Planted> {
        AT_PORTS.iter().copied().chain(RULES.iter().map(Planted::Rule))
    }
}

/// Switches the rule on in which this bug is, on this thread, and every other off; tells whether it can be.
pub fn plant(bug: Option<Planted>) -> bool {
    match bug {
        Some(Planted::Rule(rule)) => switch(rule.code),
        Some(_) | None => switch(""),
    }
}

/// These sources have no bug to switch on; those that `plant.rs` wrote do.
fn switch(code: &'static str) -> bool {
    code.is_empty()
}

planted! {
    SyncLies = "sync-lies" 5 "the agent acts and reports before its state is on the flash",
    OneSlot = "one-slot" 2 "the state file is overwritten in place, so a torn write leaves none",
    OlderSlot = "older-slot" 4 "after a restart the older of the two slots is read",
    AckEarly = "ack-before-commit" 8 "a change is acknowledged before it is on disk, and a crash costs the last few",
    IssuedLate = "publish-before-commit" 8 "tokens go out before their sequence is on disk",
    SeqFromClock = "seq-from-clock" 8 "a sequence is the clock, whatever was issued before",
    StaleStart = "stale-start" 8 "a start reads an old copy of the database",
    ChainCut = "chain-cut" 8 "an entry of the log is not linked to the one before",
    WallIsTime = "wall-clock-grace" 4 "grace runs by the wall clock",
    SuspendNotCounted = "suspend-not-counted" 4 "the boot clock stands still while the device sleeps",
    OneBoot = "one-boot" 4 "a reboot is not noticed, so its uptime is not counted",
    CapIgnored = "cap-ignored" 10 "the ladder is not capped by the class",
    BackoffReset = "backoff-reset" 12 "every session counts as a healthy one",
    ReportsIgnored = "reports-ignored" 9 "what devices report is not looked at",
    EpochIgnored = "epoch-ignored" 15 "tokens are issued in the first epoch for ever",
    OldKey = "revoked-key" 15 "tokens are signed with the first key for ever",
    StaleDocuments = "stale-keyring" 9 "a new keyring is not published",
    NoRoots = "roots-skipped" 9 "new roots are not published",
    CloudClockBlind = "cloud-clock-believed" 3 "the cloud believes its clock, whatever it does",
    HandLies = "hand-lies" 9 "the actuator says it obeys and does nothing",
    NotObservedAgain = "not-level-triggered" 9 "a device is driven once and not observed again",
    WakesIgnored = "wakes-ignored" 4 "the agent looks at the time when a message comes, and only then",
    StaleOrder = "stale-order" 9 "the hands carry out the first order for ever",
    OfflineForgotten = "offline-forgotten" 15 "a token locks nothing, however long no other comes",
    LeaseForever = "lease-ignored" 15 "tokens have no lease that ends",
    NeverRenewed = "never-renewed" 9 "tokens are not renewed when their lease comes to its end",
    LockedEarly = "locked-early" 15 "tokens lock an hour before the books do",
    GraceProlonged = "grace-prolonged" 15 "every token begins its grace anew",
    StopForgotten = "stop-forgotten" 15 "tokens carry no stop",
    NoFarewell = "no-farewell" 9 "a retired device is told nothing",
    FreezeIgnored = "freeze-ignored" 14 "tokens announce the ladder of the books while a freeze lasts",
    SelfApproval = "self-approval" 13 "whoever asks for an approval is taken for somebody new",
    MixedUp = "mixed-up" 15 "a device is sent what was last sent to another",
    IssuedAgain = "issued-again" 16 "what was issued is compared with something else than what it was issued for",
    DeafListener = "deaf-listener" 18 "a connection counts as listening before it has subscribed",
}
