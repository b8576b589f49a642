//! Every kind of fault by its name, and how often each struck.

macro_rules! faults {
    ($($name:ident = $text:literal,)*) => {
        /// What can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is its name")]
        pub enum Fault { $($name,)* }

        impl Fault {
            /// All of them, in a fixed order.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// Its stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }
        }
    };
}

faults! {
    Loss = "message lost",
    Duplication = "message duplicated",
    Reordering = "message delayed past others",
    Partition = "device cut off",
    CloudCutOff = "cloud cut off from the broker",
    RetainedLost = "retained message lost",
    BrokerRestart = "broker restarted",
    Kick = "session kicked right after it began",
    PublishHangs = "publish hangs",
    AgentKilled = "agent killed",
    KilledBetweenSteps = "agent killed between persist, acknowledge, actuate and report",
    PowerCut = "power cut",
    WriteLost = "state write lost by a power cut",
    WriteTorn = "state write torn by a power cut",
    DiskFull = "disk full",
    StateRestored = "old state file restored",
    StateWiped = "state wiped",
    ClockForward = "device clock set forward",
    ClockBack = "device clock set back",
    ClockDead = "battery dead: 1970",
    Suspend = "device suspended",
    RebootLoop = "reboot loop",
    ActuatorSlow = "actuator slow",
    ActuatorFails = "actuator fails",
    ActuatorHangs = "actuator hangs",
    Tampered = "device put into another mode by hand",
    CloudKilled = "cloud killed",
    CrashBeforeCommit = "cloud crashes before a commit is on disk",
    CrashAfterCommit = "cloud crashes after a commit, before its answer",
    StoreFull = "database full",
    DatabaseRestored = "old database restored",
    SecondCloud = "second cloud on a copy of the database with the same keys",
    CloudClockStep = "cloud clock stepped by more than an hour",
    CloudClockDrift = "cloud clock set by less than an hour",
    SignerGone = "signing key out of reach",
    KeyRotated = "token key rotated",
    EpochRaised = "epoch raised, keys revoked",
    RootRotated = "root and keyring key replaced",
    Junk = "junk sent to a device",
    Flipped = "genuine token with a flipped bit",
    Replayed = "old token sent again",
    Strayed = "another device's token",
    Foreign = "token of another deployment",
    Stranger = "token by a key that is not in the keyring",
    Unsubscribed = "message between connect and subscribe",
    Superseded = "old root or keyring sent again",
    Unlisted = "token by a key that was revoked",
    Outlived = "token from before or after its key's time",
}

/// A count for every fault.
#[derive(Clone, Debug)]
pub struct Struck(Vec<u64>);

impl Default for Struck {
    fn default() -> Struck {
        Struck(vec![0; Fault::ALL.len()])
    }
}

impl Struck {
    /// It struck.
    pub fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often it struck.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Struck) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }
}
