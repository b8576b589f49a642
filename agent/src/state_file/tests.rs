//! Saves that fail, bits that flip, disks that are full, and what may lie in place of a slot.

use super::*;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How a write ends that the power cut interrupts.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Nothing of it reached the disk.
    Lost,
    /// The first `n` bytes did.
    Torn(usize),
    /// All of it, with one bit flipped.
    Flipped(usize),
    /// All of it: only the acknowledgement was lost.
    Whole,
}

/// A disk in memory: what was written, and what of it would survive a power cut now.
#[derive(Default, Debug)]
struct Disk {
    written: [Vec<u8>; 2],
    durable: [Vec<u8>; 2],
    operations: usize,
    fails_at: Option<usize>,
    full: bool,
}

#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<Disk>>);

fn index(slot: Slot) -> usize {
    match slot {
        Slot::Zero => 0,
        Slot::One => 1,
    }
}

impl Memory {
    fn step(&self) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operations += 1;
        if disk.full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if disk.fails_at == Some(disk.operations) { Err(io::Error::other("power cut")) } else { Ok(()) }
    }

    /// The power comes back: unsynced bytes are as `damage` says.
    fn reboot(&self, damage: Damage) -> Memory {
        let mut disk = self.0.borrow_mut();
        let disk = &mut *disk;
        for (durable, written) in disk.durable.iter_mut().zip(&disk.written) {
            if durable == written {
                continue;
            }
            let mut torn = durable.clone();
            match damage {
                Damage::Lost => {}
                Damage::Torn(n) => {
                    let n = n.min(written.len());
                    torn.resize(torn.len().max(n), 0);
                    torn[..n].copy_from_slice(&written[..n]);
                }
                Damage::Flipped(bit) => {
                    torn = written.clone();
                    let bit = bit % (torn.len() * 8);
                    torn[bit / 8] ^= 1 << (bit % 8);
                }
                Damage::Whole => torn = written.clone(),
            }
            *durable = torn;
        }
        let durable = disk.durable.clone();
        Memory(Rc::new(RefCell::new(Disk { written: durable.clone(), durable, ..Disk::default() })))
    }
}

impl Medium for Memory {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        Ok(self.0.borrow().written[index(slot)].clone())
    }

    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        let done = self.step();
        // Interrupted or not, some of it may have got there.
        if !self.0.borrow().full {
            let old = &mut self.0.borrow_mut().written[index(slot)];
            old.resize(old.len().max(bytes.len()), 0);
            old[..bytes.len()].copy_from_slice(bytes);
        }
        done
    }

    fn sync(&mut self, slot: Slot) -> io::Result<()> {
        self.step()?;
        let mut disk = self.0.borrow_mut();
        let i = index(slot);
        disk.durable[i] = disk.written[i].clone();
        Ok(())
    }
}

fn record(n: usize) -> Vec<u8> {
    // Different lengths, also over one block, so that a slot's old tail is longer than its new content.
    vec![u8::try_from(n).unwrap(); 40 + (n * 1999) % 9000]
}

#[test]
fn crash_points_every_boundary_times_lost_torn_flipped() {
    const SAVES: usize = 5;
    let mut damages = vec![Damage::Lost, Damage::Whole];
    damages.extend([0, 1, 7, 8, 12, 20, 24, 55, 56, 57, 96, 4095, 4096, 8192].map(Damage::Torn));
    damages.extend((0..96 * 8).step_by(5).map(Damage::Flipped));
    let mut outcomes = BTreeSet::new();
    for fails_at in 1..=SAVES * 2 {
        for damage in &damages {
            let disk = Memory::default();
            disk.0.borrow_mut().fails_at = Some(fails_at);
            let mut store = TwoSlots::new(disk.clone());
            assert_eq!(store.load().unwrap(), None);
            let mut acknowledged = None;
            let mut attempted = None;
            for n in 0..SAVES {
                attempted = Some(n);
                match store.save(&record(n)) {
                    Ok(()) => acknowledged = Some(n),
                    Err(_) => break,
                }
            }
            let after = TwoSlots::new(disk.reboot(*damage)).load().unwrap();
            // Whole, and either the last that was acknowledged or the one being written when the power went.
            let allowed = [acknowledged.map(record), attempted.map(record)];
            assert!(allowed.contains(&after), "operation {fails_at}, {damage:?}");
            outcomes.insert((after == acknowledged.map(record), after == attempted.map(record)));
        }
    }
    assert!(outcomes.len() >= 2, "both outcomes must have been seen: {outcomes:?}");
}

#[test]
fn after_a_crash_the_next_save_does_not_touch_the_whole_slot() {
    for fails_at in [3, 4, 5, 6] {
        let disk = Memory::default();
        disk.0.borrow_mut().fails_at = Some(fails_at);
        let mut store = TwoSlots::new(disk.clone());
        let acknowledged = (0..5).take_while(|n| store.save(&record(*n)).is_ok()).last().unwrap();
        // Crash, come back, and crash again in the first save: the old record is still there.
        let disk = disk.reboot(Damage::Torn(60));
        let mut store = TwoSlots::new(disk.clone());
        assert_eq!(store.load().unwrap(), Some(record(acknowledged)));
        disk.0.borrow_mut().fails_at = Some(1);
        assert!(store.save(&record(9)).is_err());
        let disk = disk.reboot(Damage::Torn(60));
        assert_eq!(TwoSlots::new(disk).load().unwrap(), Some(record(acknowledged)));
    }
}

#[test]
fn a_full_disk_keeps_the_last_record_and_heals() {
    let disk = Memory::default();
    let mut store = TwoSlots::new(disk.clone());
    store.save(&record(1)).unwrap();
    disk.0.borrow_mut().full = true;
    for _ in 0..3 {
        assert!(matches!(store.save(&record(2)), Err(StoreError::Write(_))));
        assert_eq!(TwoSlots::new(disk.clone()).load().unwrap(), Some(record(1)));
    }
    disk.0.borrow_mut().full = false;
    store.save(&record(2)).unwrap();
    assert_eq!(TwoSlots::new(disk).load().unwrap(), Some(record(2)));
}

#[test]
fn every_single_bit_of_both_slots_is_guarded() {
    let disk = Memory::default();
    let mut store = TwoSlots::new(disk.clone());
    store.save(b"older").unwrap();
    store.save(b"newer").unwrap();
    for bit in 0..(HEADER_BYTES + 5) * 8 {
        disk.0.borrow_mut().written[1][bit / 8] ^= 1 << (bit % 8);
        let mut flipped = TwoSlots::new(disk.clone());
        assert_eq!(flipped.load().unwrap().as_deref(), Some(&b"older"[..]), "bit {bit}");
        assert!(flipped.found_damage());
        disk.0.borrow_mut().written[1][bit / 8] ^= 1 << (bit % 8);
    }
    for written in &mut disk.0.borrow_mut().written {
        written[60] ^= 1;
    }
    assert_eq!(TwoSlots::new(disk).load().unwrap(), None, "damage to both is no token, never a better one");
}

#[test]
fn a_newer_format_is_refused_not_forgotten() {
    let disk = Memory::default();
    let mut bytes = encode(3, b"x").unwrap();
    bytes[8] = 2;
    let sum = digest(&bytes[..HEADER_BYTES - 32], b"x");
    bytes[HEADER_BYTES - 32..HEADER_BYTES].copy_from_slice(&sum);
    disk.0.borrow_mut().written[0] = bytes;
    let mut store = TwoSlots::new(disk);
    assert!(matches!(store.load(), Err(StoreError::Newer(2))));
    assert!(matches!(store.save(b"y"), Err(StoreError::Newer(2))), "nor overwritten");
}

#[test]
fn files_survive_a_restart_and_are_private() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4 {
        let mut store = TwoSlots::new(FileMedium::new(dir.path().to_path_buf()));
        assert_eq!(store.load().unwrap(), (n > 0).then(|| record(n - 1)));
        store.save(&record(n)).unwrap();
    }
    for slot in Slot::BOTH {
        let mode = std::fs::metadata(dir.path().join(slot.file_name())).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(
        TwoSlots::new(FileMedium::new(dir.path().to_path_buf())).save(&vec![0; MAX_RECORD_BYTES + 1]),
        Err(StoreError::TooLong(_))
    ));
}

#[test]
fn r9_a_slot_that_cannot_be_read_any_more_gives_way_to_the_other_and_is_never_taken_for_empty() {
    /// A disk of which one sector died.
    struct Dying(Memory, Vec<Slot>);
    impl Medium for Dying {
        fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
            match self.1.contains(&slot) {
                true => Err(rustix::io::Errno::IO.into()),
                false => self.0.read(slot),
            }
        }
        fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
            self.0.write(slot, bytes)
        }
        fn sync(&mut self, slot: Slot) -> io::Result<()> {
            self.0.sync(slot)
        }
    }
    for (dead, found) in [(Slot::Zero, 1), (Slot::One, 2)] {
        let disk = Memory::default();
        let mut store = TwoSlots::new(disk.clone());
        // The third lies in slot zero.
        (0..3).for_each(|n| store.save(&record(n)).unwrap());
        let mut store = TwoSlots::new(Dying(disk.clone(), vec![dead]));
        assert_eq!(store.load().unwrap(), Some(record(found)));
        assert!(store.found_damage());
        store.save(&record(4)).unwrap();
        assert_eq!(
            TwoSlots::new(disk.clone()).load().unwrap(),
            Some(record(4)),
            "into the dead one, not over the other"
        );
        let mut store = TwoSlots::new(Dying(disk, Slot::BOTH.to_vec()));
        assert!(matches!(store.load(), Err(StoreError::Read(_))));
        assert!(matches!(store.save(&record(5)), Err(StoreError::Read(_))), "nor overwritten unread");
    }
}

#[test]
fn a_slot_is_a_file_of_its_own_and_nothing_else_is_followed_or_waited_for() {
    type Make = fn(&std::path::Path, &std::path::Path);
    let make: [(&str, Make); 3] = [
        ("symbolic link", |slot, elsewhere| std::os::unix::fs::symlink(elsewhere, slot).unwrap()),
        ("pipe", |slot, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, slot, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }),
        ("regular file", |slot, _| std::fs::create_dir(slot).unwrap()),
    ];
    for (what, make) in make {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, b"of somebody else").unwrap();
        make(&dir.path().join("state.0"), &elsewhere);
        let mut store = TwoSlots::new(FileMedium::new(dir.path().to_path_buf()));
        for error in [store.load().unwrap_err(), store.save(b"x").unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("state.0") && text.contains("state_dir"), "{what}: {text}");
        }
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"of somebody else");
    }
}
