//! The invariants of the architecture, by name, and how often each was looked at where it could have been broken.

macro_rules! invariants {
    ($($name:ident = $number:literal $text:literal,)*) => {
        /// What must hold after every event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is its sentence")]
        pub enum Invariant { $($name,)* }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Invariant] = &[$(Invariant::$name,)*];

            /// Its number in the architecture.
            pub const fn number(self) -> u8 {
                match self { $(Invariant::$name => $number,)* }
            }

            /// It in words.
            pub const fn sentence(self) -> &'static str {
                match self { $(Invariant::$name => $text,)* }
            }
        }
    };
}

invariants! {
    Unverified = 1 "unverified bytes change nothing",
    NeverBack = 2 "a device's accepted (epoch, seq) never decreases, nor does its keyring",
    NotBeforeGrace = 3 "no device is enforced before its grace ends",
    WallClock = 4 "a wall-clock jump alone never ends grace and never extends it; a reboot loop hides at most half its uptime",
    PersistFirst = 5 "state is on disk before the actuator moves, before it is acknowledged and before it is reported",
    Why = 6 "every enforced device can say why",
    Credit = 7 "no operation creates or loses credit, and none leaves a group owing some",
    Acknowledged = 8 "an acknowledged change is never lost and never applied twice; nothing goes out before it is on disk",
    Converges = 9 "when faults stop, every device reaches its group's mode within two reconcile intervals",
    Egress = 10 "no output that matters for egress is commanded: a class is never driven beyond its cap",
    Books = 11 "the books judge every group as a recount of its keys and devices does",
    Line = 12 "a broker that kicks is not hammered",
    Held = 13 "what locks too many waits for the vendor and is not done, and nobody approves what they asked for",
    Frozen = 14 "no token issued under a freeze announces a further step before its own lease ends",
    Told = 15 "a token says what the books say when it is issued, and is sent to nobody else",
    Quiet = 16 "work follows change: nobody is issued token after token, and a keyring does not go to everybody over and over",
    Grace = 17 "nothing gives grace back that was used, and it is not used up faster than time passes",
    Owed = 18 "a device that says what it lacks is sent it on the connection it has",
    Paced = 19 "a pace spreads a lockout, the newest first, and nobody's day moves once it has begun",
    Sound = 20 "nothing panics, and the rules do not contradict themselves",
}

impl std::fmt::Display for Invariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.number(), self.sentence())
    }
}

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in milliseconds of the world.
    pub at: u64,
    /// What was seen.
    pub what: String,
}

/// A count for every invariant.
#[derive(Clone, Debug)]
pub struct Exercised(Vec<u64>);

impl Default for Exercised {
    fn default() -> Exercised {
        Exercised(vec![0; Invariant::ALL.len()])
    }
}

impl Exercised {
    /// It could have been broken here.
    pub fn hit(&mut self, invariant: Invariant) {
        self.0[invariant as usize] += 1;
    }

    /// So many times.
    pub fn hits(&mut self, invariant: Invariant, times: u64) {
        self.0[invariant as usize] += times;
    }

    /// How often it was looked at.
    pub fn of(&self, invariant: Invariant) -> u64 {
        self.0[invariant as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Exercised) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }
}
