//! Everything that can fail on a device, and what it does to one.

use super::Standing;
use super::device::{Device, DiskFault, Hands, configuration, load};
use crate::driver::Input;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{self, Full, ManagementLocked, Stopped};
use sha2::{Digest, Sha256};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Killed,
    Hung,
    Rebooted,
    RebootLoop,
    DiskFull,
    StartedOnFullDisk,
    StateUnreadable,
    OneSlotDamaged,
    BothSlotsDamaged,
    StateMissing,
    UpgradedSameFormat,
    OtherSlotFormat,
    OtherRecordFormat,
    HandsFail,
    HandsSlow,
    HandsLie,
    HandsInsist,
    NetworkGoneForADay,
    NetworkGoneForBudget,
    WallClock1970,
    WallClockAhead,
    WallClockAheadForADay,
    ConfigurationBroken,
    RootFileDamaged,
    KeyringFileMissing,
    JunkReceived,
}

impl Failure {
    pub(super) const ALL: [Failure; 26] = [
        Failure::Killed,
        Failure::Hung,
        Failure::Rebooted,
        Failure::RebootLoop,
        Failure::DiskFull,
        Failure::StartedOnFullDisk,
        Failure::StateUnreadable,
        Failure::OneSlotDamaged,
        Failure::BothSlotsDamaged,
        Failure::StateMissing,
        Failure::UpgradedSameFormat,
        Failure::OtherSlotFormat,
        Failure::OtherRecordFormat,
        Failure::HandsFail,
        Failure::HandsSlow,
        Failure::HandsLie,
        Failure::HandsInsist,
        Failure::NetworkGoneForADay,
        Failure::NetworkGoneForBudget,
        Failure::WallClock1970,
        Failure::WallClockAhead,
        Failure::WallClockAheadForADay,
        Failure::ConfigurationBroken,
        Failure::RootFileDamaged,
        Failure::KeyringFileMissing,
        Failure::JunkReceived,
    ];

    /// What fails, in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Failure::Killed => "agent killed, two days later started again",
            Failure::Hung => "agent hung (`SIGSTOP`) for two days",
            Failure::Rebooted => "power cut and reboot",
            Failure::RebootLoop => "thirty reboots, a minute apart",
            Failure::DiskFull => "disk full, and another token arrives",
            Failure::StartedOnFullDisk => "killed and started on a full disk",
            Failure::StateUnreadable => "state directory unreadable at the start",
            Failure::OneSlotDamaged => "the newer state slot damaged at the start",
            Failure::BothSlotsDamaged => "both state slots damaged at the start",
            Failure::StateMissing => "state (the token) missing at the start",
            Failure::UpgradedSameFormat => "replaced by another version with this state format",
            Failure::OtherSlotFormat => "up- or downgraded: state slots of another format",
            Failure::OtherRecordFormat => "up- or downgraded: a record of another format",
            Failure::HandsFail => "actuator fails, while the device strays",
            Failure::HandsSlow => "actuator slow, while a stop is ordered and taken back",
            Failure::HandsLie => "actuator lies, while the device strays",
            Failure::HandsInsist => "actuator always says another mode",
            Failure::NetworkGoneForADay => "network gone for a day",
            Failure::NetworkGoneForBudget => "network gone beyond the offline budget",
            Failure::WallClock1970 => "wall clock at 1970",
            Failure::WallClockAhead => "wall clock 20 years ahead, for an hour",
            Failure::WallClockAheadForADay => "wall clock 20 years ahead, steady for more than a day",
            Failure::ConfigurationBroken => "configuration broken while running, then started again",
            Failure::RootFileDamaged => "root file damaged at the start",
            Failure::KeyringFileMissing => "keyring file missing at the start",
            Failure::JunkReceived => "two hundred messages that do not verify",
        }
    }

    /// What the agent does meanwhile, and why a mode may change, by the rule that says so.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Failure::Killed | Failure::Hung => "says nothing",
            Failure::Rebooted | Failure::RebootLoop | Failure::UpgradedSameFormat => {
                "a reboot changes nothing (§1)"
            }
            Failure::DiskFull => "what is not on disk is not believed (§1)",
            Failure::StartedOnFullDisk | Failure::KeyringFileMissing => "enforces what is stored",
            Failure::StateUnreadable | Failure::OtherSlotFormat | Failure::OtherRecordFormat => {
                "refuses to start and overwrites nothing"
            }
            Failure::ConfigurationBroken | Failure::RootFileDamaged => "refuses to start",
            Failure::OneSlotDamaged => "enforces the record before",
            Failure::BothSlotsDamaged | Failure::StateMissing => {
                "no token: management-locked, as from the factory (TOKEN.md, §5)"
            }
            Failure::HandsFail | Failure::HandsInsist => "orders the same again and reports `ACTUATOR_FAULT`",
            Failure::HandsSlow => "reports `ACTUATOR_PENDING`; the newest order is the last",
            Failure::HandsLie => "is deceived; nothing else is ordered",
            Failure::NetworkGoneForADay | Failure::WallClock1970 | Failure::WallClockAhead => {
                "changes nothing"
            }
            Failure::NetworkGoneForBudget => "locks management, never stops (E7)",
            Failure::WallClockAheadForADay => "adopted time may lock, never stops (TOKEN.md, §5)",
            Failure::JunkReceived => "counts and reports them",
        }
    }

    /// The mode a device that was in `before` is to be in while this lasts. Written down from the specification, not from
    /// the code: all but four leave it where it is.
    pub(super) fn leaves_in(self, before: OperatingMode) -> OperatingMode {
        match self {
            Failure::BothSlotsDamaged | Failure::StateMissing => ManagementLocked,
            Failure::NetworkGoneForBudget | Failure::WallClockAheadForADay => before.max(ManagementLocked),
            Failure::Killed
            | Failure::Hung
            | Failure::Rebooted
            | Failure::RebootLoop
            | Failure::DiskFull
            | Failure::StartedOnFullDisk
            | Failure::StateUnreadable
            | Failure::OneSlotDamaged
            | Failure::UpgradedSameFormat
            | Failure::OtherSlotFormat
            | Failure::OtherRecordFormat
            | Failure::HandsFail
            | Failure::HandsSlow
            | Failure::HandsLie
            | Failure::HandsInsist
            | Failure::NetworkGoneForADay
            | Failure::WallClock1970
            | Failure::WallClockAhead
            | Failure::ConfigurationBroken
            | Failure::RootFileDamaged
            | Failure::KeyringFileMissing
            | Failure::JunkReceived => before,
        }
    }

    /// Lets it happen to a device that runs and is connected.
    pub(super) fn strike(self, device: &mut Device) {
        let stray = |device: &Device| {
            let away = if device.mode() == Some(Full) { ManagementLocked } else { Full };
            device.body.lock().unwrap().at = Some(away);
        };
        let fault = |device: &Device, fault| device.disk.0.borrow_mut().fault = fault;
        let hands = |device: &Device, hands| device.body.lock().unwrap().hands = hands;
        match self {
            Failure::Killed => {
                device.kill();
                device.boot_secs += 2 * DAY;
                device.start().unwrap();
            }
            Failure::Hung => {
                device.boot_secs += 2 * DAY;
                device.feed(Input::Tick);
            }
            Failure::Rebooted => {
                device.reboot();
                device.start().unwrap();
            }
            Failure::RebootLoop => {
                for _ in 0..30 {
                    device.pass(60, 30);
                    device.reboot();
                    device.start().unwrap();
                }
            }
            Failure::DiskFull => {
                fault(device, DiskFault::Full);
                device.pass(7200, 1800);
                // As far away from what it is as can be: neither milder nor stricter is believed.
                let before = device.ordered();
                let other = if before == Some(Full) { Standing::Stopped } else { Standing::Licensed };
                let ticket = device.token(token(&other.claims(device.now()).unwrap()));
                device.pass(7200, 1800);
                assert!(!device.acknowledged.contains(&ticket), "nor acknowledged");
                let said = device.reports.last().unwrap();
                assert!(said.reasons.iter().any(|code| code.as_str() == "STATE_NOT_SAVED"), "{said:?}");
            }
            Failure::StartedOnFullDisk => {
                fault(device, DiskFault::Full);
                device.kill();
                device.start().unwrap();
                device.pass(7200, 1800);
            }
            Failure::StateUnreadable => {
                device.kill();
                fault(device, DiskFault::Unreadable);
                assert!(device.start().is_err());
            }
            Failure::OneSlotDamaged => {
                // So that the other one holds it as well.
                device.pass(1200, 600);
                device.kill();
                let mut disk = device.disk.0.borrow_mut();
                let newer = usize::from(generation(&disk.slots[1]) > generation(&disk.slots[0]));
                disk.slots[newer][70] ^= 1;
                drop(disk);
                device.start().unwrap();
            }
            Failure::BothSlotsDamaged => {
                device.kill();
                device.disk.0.borrow_mut().slots.iter_mut().for_each(|slot| slot[70] ^= 1);
                device.start().unwrap();
            }
            Failure::StateMissing => {
                device.kill();
                device.disk.0.borrow_mut().slots = Default::default();
                device.start().unwrap();
            }
            Failure::UpgradedSameFormat => {
                device.kill();
                device.start().unwrap();
                device.pass(600, 200);
            }
            Failure::OtherSlotFormat => refuses(device, |slot| slot[8] = 2),
            Failure::OtherRecordFormat => refuses(device, |slot| slot[56 + 4 + 7] = 2),
            Failure::HandsFail => {
                hands(device, Hands::Fail);
                stray(device);
                device.pass(600, 200);
                let said = device.reports.last().unwrap();
                assert!(said.reasons.iter().any(|code| code.as_str() == "ACTUATOR_FAULT"), "{said:?}");
            }
            Failure::HandsSlow => {
                device.slow = true;
                let before = device.ordered();
                let back = device.now() + 1;
                device.token(token(&Standing::Stopped.claims(device.now()).unwrap()));
                device.pass(60, 20);
                let standing = Standing::ALL.into_iter().find(|standing| {
                    before == Some(device.config.cap().limit(standing.wants()))
                        && *standing != Standing::Factory
                });
                device.token(token(&standing.unwrap().claims(back).unwrap()));
                device.pass(60, 20);
                device.catch_up();
            }
            Failure::HandsLie => {
                hands(device, Hands::Lie);
                device.look();
                stray(device);
                device.pass(600, 200);
            }
            Failure::HandsInsist => {
                let other = if device.ordered() == Some(Stopped) { Full } else { Stopped };
                hands(device, Hands::Insist(other));
                device.pass(600, 200);
            }
            Failure::NetworkGoneForADay => {
                device.feed(Input::Disconnected);
                device.pass(DAY, 7200);
            }
            Failure::NetworkGoneForBudget => {
                device.feed(Input::Disconnected);
                device.pass(41 * DAY, DAY / 2);
            }
            Failure::WallClock1970 => {
                device.wall_off = -i64::try_from(ISSUED).unwrap();
                device.pass(2 * DAY, 7200);
            }
            Failure::WallClockAhead => {
                device.wall_off = 20 * 366 * 86_400;
                device.pass(3600, 600);
            }
            Failure::WallClockAheadForADay => {
                device.wall_off = 20 * 366 * 86_400;
                device.pass(2 * DAY, 1800);
            }
            Failure::ConfigurationBroken => {
                let dir = tempfile::tempdir().unwrap();
                // Nobody reads it while the agent runs.
                let broken = configuration("camera", true).replace("host", "hots");
                device.pass(600, 200);
                device.kill();
                assert_eq!(load(dir.path(), &broken), None);
            }
            Failure::RootFileDamaged => {
                device.kill();
                device.root_file[40] ^= 1;
                assert!(device.start().is_err());
            }
            Failure::KeyringFileMissing => {
                device.kill();
                device.keyring_file = None;
                device.start().unwrap();
                device.pass(600, 200);
            }
            Failure::JunkReceived => {
                let good = token(&Standing::Stopped.claims(device.now()).unwrap());
                for n in 0..200 {
                    let mut junk = good.clone();
                    junk[n % good.len()] ^= 1;
                    device.token(junk);
                }
                device.pass(600, 200);
            }
        }
    }

    /// Puts right what was broken, and starts the agent if it does not run.
    pub(super) fn mend(device: &mut Device, healthy: &Healthy) {
        device.disk.0.borrow_mut().fault = DiskFault::None;
        device.body.lock().unwrap().hands = Hands::Obey;
        device.wall_off = 0;
        device.root_file.clone_from(&healthy.root_file);
        device.keyring_file.clone_from(&healthy.keyring_file);
        if device.driver.is_none() {
            // What a foreign version left alone is still there for the right one.
            if let Some(slots) = &healthy.slots {
                device.disk.0.borrow_mut().slots.clone_from(slots);
            }
            device.start().unwrap();
        }
        device.feed(Input::Connected);
        device.pass(60, 30);
    }
}

/// What was right before the failure.
pub(super) struct Healthy {
    pub root_file: Vec<u8>,
    pub keyring_file: Option<Vec<u8>>,
    pub slots: Option<[Vec<u8>; 2]>,
}

fn generation(slot: &[u8]) -> u64 {
    u64::from_le_bytes(slot[12..20].try_into().unwrap())
}

/// A start on slots that are whole and say something else; they are as they were after it.
fn refuses(device: &mut Device, change: fn(&mut Vec<u8>)) {
    device.kill();
    let mut foreign = device.disk.0.borrow().slots.clone();
    for slot in foreign.iter_mut().filter(|slot| !slot.is_empty()) {
        change(slot);
        let length = u32::from_le_bytes(slot[20..24].try_into().unwrap());
        let mut sum = Sha256::new();
        sum.update(&slot[..24]);
        sum.update(&slot[56..56 + usize::try_from(length).unwrap()]);
        slot[24..56].copy_from_slice(&sum.finalize());
    }
    device.disk.0.borrow_mut().slots = foreign.clone();
    assert!(device.start().is_err());
    assert_eq!(device.disk.0.borrow().slots, foreign);
}
