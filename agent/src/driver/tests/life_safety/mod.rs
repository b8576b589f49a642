//! Whatever fails, in whatever state, on whatever device: nothing is commanded that was not permitted (R9, invariant 10).
//!
//! **Problem.** "A door must never trap a person" is a sentence about every path through the agent, and a test shows one.
//! **Method.** The whole table: every standing × every class, a door with and without the attestation × every failure. The
//! configuration is read as the agent reads it; the driver, the state slots and the driving of actuators are the ones that
//! run on devices; only disk, clocks and hands are made ([`device`]). The hands write down every command. What is permitted
//! and what a failure leaves a device in is written down here once more, from the specification. The table is
//! `shared/docs/LIFE-SAFETY.md`, held to this test. **Deliberately absent:** processes and signals; the rows that need them
//! are also run with the real program (`tests/e2e/life_safety.rs`).

mod device;
mod failure;

use crate::driver::Input;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{self, Full, ManagementLocked, Stopped};
use coterm_shared::token::Claims;
use device::{Device, configuration, load};
use failure::{Failure, Healthy};
use std::fmt::Write;

/// Where a device stands before something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No token was ever seen.
    Factory,
    Licensed,
    Grace,
    ManagementLocked,
    Stopped,
}

impl Standing {
    pub(super) const ALL: [Standing; 5] = [
        Standing::Factory,
        Standing::Licensed,
        Standing::Grace,
        Standing::ManagementLocked,
        Standing::Stopped,
    ];

    const fn words(self) -> &'static str {
        match self {
            Standing::Factory => "no token yet",
            Standing::Licensed => "licensed",
            Standing::Grace => "grace",
            Standing::ManagementLocked => "management-locked",
            Standing::Stopped => "stopped",
        }
    }

    /// The mode it comes to where the class permits it.
    pub(super) const fn wants(self) -> OperatingMode {
        match self {
            Standing::Licensed | Standing::Grace => Full,
            Standing::Factory | Standing::ManagementLocked => ManagementLocked,
            Standing::Stopped => Stopped,
        }
    }

    /// What a token issued now says that makes a device stand there for the next weeks.
    pub(super) fn claims(self, now: u64) -> Option<Claims> {
        let later = now + 80 * DAY;
        match self {
            Standing::Factory => None,
            Standing::Licensed => Some(claims(now)),
            Standing::Grace => Some(ending(now, later, later + DAY)),
            Standing::ManagementLocked => Some(ending(now, now, later)),
            Standing::Stopped => Some(ending(now, now, now)),
        }
    }
}

/// What integrators write, and the strictest mode the specification permits then (enforcement §2).
const CLASSES: [(&str, bool, OperatingMode); 8] = [
    ("camera", false, Stopped),
    ("door-controller", false, ManagementLocked),
    ("door-controller", true, Stopped),
    ("sensor", false, Stopped),
    ("life-safety-sensor", false, ManagementLocked),
    ("viewing-station", false, Stopped),
    ("intercom", false, ManagementLocked),
    ("alarm-console", false, ManagementLocked),
];

/// What hooks and workloads are told besides the mode: words and dates, nothing that could be taken for a command.
const TOLD: [&str; 10] = [
    "COTERM_DEVICE",
    "COTERM_MODE",
    "COTERM_STATE",
    "COTERM_REASON",
    "COTERM_SINCE",
    "COTERM_NEXT_CHANGE_AT",
    "COTERM_NEXT_MODE",
    "COTERM_GRACE_BEGINS_AT",
    "COTERM_LOCK_AT",
    "COTERM_STOP_AT",
];

/// One cell of the table.
struct Cell {
    before: OperatingMode,
    during: OperatingMode,
    commands: usize,
}

fn try_out(failure: Failure, standing: Standing, class: (&str, bool, OperatingMode)) -> Cell {
    let (name, attested, permitted) = class;
    let what = format!("{failure:?}, {standing:?}, {name}, attested: {attested}");
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::new(load(dir.path(), &configuration(name, attested)).unwrap());
    device.start().unwrap();
    device.feed(Input::Connected);
    if let Some(claims) = standing.claims(device.now()) {
        device.token(token(&claims));
    }
    device.pass(60, 30);
    let before = standing.wants().min(permitted);
    assert_eq!(device.mode(), Some(before), "{what}");

    let healthy = Healthy {
        root_file: device.root_file.clone(),
        keyring_file: device.keyring_file.clone(),
        slots: matches!(failure, Failure::OtherSlotFormat | Failure::OtherRecordFormat)
            .then(|| device.disk.0.borrow().slots.clone()),
    };
    let commanded = device.body.lock().unwrap().commands.len();
    failure.strike(&mut device);
    let during = failure.leaves_in(before);
    // A running agent wants what the specification says; a dead one leaves the device where it was.
    match device.driver {
        Some(_) => assert_eq!(device.ordered(), Some(during), "{what}"),
        None => assert_eq!(device.mode(), Some(before), "{what}"),
    }
    let commands = device.body.lock().unwrap().commands.split_off(commanded);
    for order in &commands {
        assert!(order.mode <= permitted, "{what}: {order:?}");
        let slow = failure == Failure::HandsSlow && order.mode == Stopped.min(permitted);
        assert!([before, during].contains(&order.mode) || slow, "{what}: {order:?}");
        assert!(order.environment.iter().all(|(name, _)| TOLD.contains(name)), "{what}: {order:?}");
    }

    Failure::mend(&mut device, &healthy);
    device.answered_by(|now| standing.claims(now));
    assert_eq!(device.mode(), Some(before), "{what}: after it");
    let mut after = device.body.lock().unwrap().commands.clone().into_iter();
    assert!(after.all(|order| order.mode <= permitted), "{what}: after it");
    Cell { before, during, commands: commands.len() }
}

fn short(mode: OperatingMode) -> &'static str {
    match mode {
        Full => "full",
        ManagementLocked => "locked",
        Stopped => "stopped",
    }
}

/// The whole table, tried out.
fn table() -> String {
    let mut text = String::from("| What fails | Standing |");
    for (class, attested, _) in CLASSES {
        write!(text, " {class}{} |", if attested { ", attested" } else { "" }).unwrap();
    }
    text.push_str("\n|---|---|---|---|---|---|---|---|---|---|\n");
    let (mut cells, mut commands) = (0, 0);
    for failure in Failure::ALL {
        let mut silent = true;
        let mut rows = Vec::new();
        for standing in Standing::ALL {
            let mut row = format!("| {} |", standing.words());
            for class in CLASSES {
                let cell = try_out(failure, standing, class);
                let (before, during) = (short(cell.before), short(cell.during));
                let said =
                    if before == during { before.to_owned() } else { format!("{before} → {during}") };
                write!(row, " {said} |").unwrap();
                silent &= cell.commands == 0;
                cells += 1;
                commands += cell.commands;
            }
            rows.push(row);
        }
        for (n, row) in rows.into_iter().enumerate() {
            let silence = if silent { "; no command at all" } else { "" };
            let head = if n == 0 {
                format!("**{}**: {}{silence}", failure.words(), failure.why())
            } else {
                String::new()
            };
            writeln!(text, "| {head} {row}").unwrap();
        }
    }
    writeln!(
        text,
        "\n{cells} cells; while something failed, {commands} commands were given, 0 of them beyond what the class and its opt-in permit."
    )
    .unwrap();
    text
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/docs/LIFE-SAFETY.md");
const BEGIN: &str = "<!-- The table is made by `driver::tests::life_safety`. -->\n";

#[test]
fn r9_whatever_fails_nothing_is_commanded_that_the_class_does_not_permit() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (_, written) = document.split_once(BEGIN).unwrap();
    let tried = table();
    assert!(
        written.trim() == tried.trim(),
        "LIFE-SAFETY.md is not what happens; `cargo test -p coterm-agent --lib -- --ignored write_life_safety` \
         writes it:\n{tried}"
    );
}

#[test]
#[ignore = "writes the table into shared/docs/LIFE-SAFETY.md"]
fn write_life_safety() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (head, _) = document.split_once(BEGIN).unwrap();
    std::fs::write(DOCUMENT, format!("{head}{BEGIN}\n{}", table())).unwrap();
}

/// What stops a door is the sentence in the agent's own configuration, and nothing that resembles it.
#[test]
fn r9_a_door_is_never_stopped_without_the_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let good = configuration("door-controller", true);
    assert!(load(dir.path(), &good).is_some());
    for (from, to) in [
        ("Every door of this controller", "Each door of this controller"),
        ("attested_by = \"A. Installer\"", "attested_by = \"\""),
        ("attested_by = \"A. Installer\"\n", ""),
        ("kind = \"command\"", "kind = \"supervise\""),
        ("class = \"door-controller\"", "class = \"alarm-console\""),
    ] {
        assert!(load(dir.path(), &good.replace(from, to)).is_none(), "{to}");
    }
    let plain = load(dir.path(), &configuration("door-controller", false)).unwrap();
    assert_eq!(plain.cap().strictest(), ManagementLocked);
}
