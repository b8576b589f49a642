//! Every moment at which power can go during saves, times everything a disk may then have kept.
//!
//! **Problem.** A list of hand-picked crash points shows that those are survived. **Method.** [`Flash`] is a disk that takes
//! a save apart into what a file system does (a name is made, sectors are handed over, sectors are synced, the name is
//! synced) and counts. A run without a crash says how many boundaries there are; the run is then repeated with the power
//! going at each of them. What was not synced by then is kept in every subset of its sectors, in any order, where there are
//! few (one block), and otherwise in every prefix, every suffix, every single sector and all but every single one; a name
//! that was not synced is kept or not. **Deliberately absent:** a disk that says it has synced and has not.

use super::*;
use std::cell::RefCell;
use std::rc::Rc;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Up to so many sectors every subset is tried: those of one block.
const ALL_SUBSETS: usize = BLOCK_BYTES / SECTOR;

/// What is on the disk, and what is on its way there.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// What survives a power cut; `None` is a name that does not.
    durable: [Option<Vec<u8>>; 2],
    /// Sectors handed over and not synced: slot, offset, bytes.
    pending: Vec<(usize, usize, Vec<u8>)>,
    /// Names made and not synced.
    unnamed: [bool; 2],
    boundaries: usize,
    stop_at: Option<usize>,
}

/// A disk of two slots whose power can go at any boundary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flash {
    disk: Rc<RefCell<Disk>>,
    /// As [`FileMedium`] does: names are synced once by each process.
    named: [bool; 2],
}

fn index(slot: Slot) -> usize {
    match slot {
        Slot::Zero => 0,
        Slot::One => 1,
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    content.resize(content.len().max(offset + bytes.len()), 0);
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Flash {
    /// How many boundaries were passed.
    pub(crate) fn boundaries(&self) -> usize {
        self.disk.borrow().boundaries
    }

    /// The same disk, of which the power goes at this boundary, counted from 1.
    pub(crate) fn stopping_at(self, boundary: usize) -> Flash {
        self.disk.borrow_mut().stop_at = Some(boundary);
        self
    }

    /// One step of the file system: taken, or in flight when the power goes.
    fn step(&self, take: impl FnOnce(&mut Disk)) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.boundaries += 1;
        if disk.stop_at.is_some_and(|stop| disk.boundaries >= stop) {
            return Err(io::Error::other("the power is gone"));
        }
        take(&mut disk);
        Ok(())
    }

    /// Every disk there may be when the power comes back.
    pub(crate) fn after_power_cut(&self) -> Vec<Flash> {
        let disk = self.disk.borrow();
        let names: &[bool] = if disk.unnamed.contains(&true) { &[true, false] } else { &[true] };
        let mut found = Vec::new();
        for kept in subsets(disk.pending.len()) {
            for name in names {
                let mut durable = disk.durable.clone();
                for (_, (slot, offset, bytes)) in
                    disk.pending.iter().enumerate().filter(|(n, _)| kept.contains(n))
                {
                    put(durable[*slot].get_or_insert_default(), *offset, bytes);
                }
                for (content, unnamed) in durable.iter_mut().zip(disk.unnamed) {
                    if unnamed {
                        *content = name.then(|| content.take().unwrap_or_default());
                    }
                }
                let disk = Disk { durable, ..Disk::default() };
                found.push(Flash { disk: Rc::new(RefCell::new(disk)), named: [false; 2] });
            }
        }
        found
    }
}

/// Which of `n` sectors got to the disk.
fn subsets(n: usize) -> Vec<Vec<usize>> {
    if n <= ALL_SUBSETS {
        return (0..1_usize << n).map(|bits| (0..n).filter(|i| bits >> i & 1 == 1).collect()).collect();
    }
    let prefixes = (0..=n).map(|end| (0..end).collect());
    let suffixes = (1..n).map(|start| (start..n).collect());
    let single = (0..n).map(|one| vec![one]);
    let all_but = (0..n).map(|one| (0..n).filter(|other| *other != one).collect());
    prefixes.chain(suffixes).chain(single).chain(all_but).collect()
}

impl Medium for Flash {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        let disk = self.disk.borrow();
        let mut content = disk.durable[index(slot)].clone().unwrap_or_default();
        disk.pending
            .iter()
            .filter(|(of, ..)| *of == index(slot))
            .for_each(|(_, at, bytes)| put(&mut content, *at, bytes));
        Ok(content)
    }

    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        let slot = index(slot);
        let there = self.disk.borrow().durable[slot].is_some() || self.disk.borrow().unnamed[slot];
        if !there {
            self.step(|disk| disk.unnamed[slot] = true)?;
        }
        let sectors = bytes.chunks(SECTOR).enumerate().map(|(n, sector)| (slot, n * SECTOR, sector.to_vec()));
        let sectors: Vec<_> = sectors.collect();
        let done = self.step(|disk| disk.pending.extend(sectors.clone()));
        let mut disk = self.disk.borrow_mut();
        // In flight: some of it may have got there.
        if done.is_err() && disk.stop_at == Some(disk.boundaries) {
            disk.pending.extend(sectors);
        }
        done
    }

    fn sync(&mut self, slot: Slot) -> io::Result<()> {
        let slot = index(slot);
        self.step(|disk| {
            for (of, offset, bytes) in std::mem::take(&mut disk.pending) {
                assert_eq!(of, slot, "the other slot is never under way at the same time");
                put(disk.durable[of].get_or_insert_default(), offset, &bytes);
            }
        })?;
        if !self.named[slot] {
            self.step(|disk| disk.unnamed[slot] = false)?;
            self.named[slot] = true;
        }
        Ok(())
    }
}

/// Different lengths, from one block to three, so that a slot's old tail is longer than its new content.
fn record(n: usize) -> Vec<u8> {
    let lengths = [40, 9000, 300, 4100, 60, 700];
    vec![u8::try_from(n).unwrap() + 1; lengths[n % lengths.len()]]
}

/// Saves until one fails: the last that was acknowledged, and the last that was tried.
fn save_all(store: &mut TwoSlots<Flash>, numbers: std::ops::Range<usize>) -> (Option<usize>, Option<usize>) {
    let (mut acknowledged, mut tried) = (None, None);
    for n in numbers {
        tried = Some(n);
        if store.save(&record(n)).is_err() {
            break;
        }
        acknowledged = tried;
    }
    (acknowledged, tried)
}

const SAVES: usize = 6;
/// The first save of each slot makes and syncs its name besides writing and syncing its bytes.
const BOUNDARIES: usize = 2 * 4 + (SAVES - 2) * 2;

#[test]
fn r3_power_cut_at_every_boundary_of_saving_times_everything_a_disk_may_keep() {
    let flash = Flash::default();
    assert_eq!(save_all(&mut TwoSlots::new(flash.clone()), 0..SAVES), (Some(SAVES - 1), Some(SAVES - 1)));
    assert_eq!(flash.boundaries(), BOUNDARIES, "nothing a save does is left out");

    let (mut disks, mut older, mut newer) = (0, 0, 0);
    for boundary in 1..=BOUNDARIES + 1 {
        let flash = Flash::default().stopping_at(boundary);
        let (acknowledged, tried) = save_all(&mut TwoSlots::new(flash.clone()), 0..SAVES);
        assert_eq!(acknowledged == Some(SAVES - 1), boundary > BOUNDARIES, "boundary {boundary}");
        for disk in flash.after_power_cut() {
            disks += 1;
            let mut store = TwoSlots::new(disk);
            let found = store.load().unwrap();
            // Whole, and what was acknowledged last or what was being written; never less, never a mixture.
            assert!([acknowledged, tried].map(|n| n.map(record)).contains(&found), "boundary {boundary}");
            older += usize::from(found == acknowledged.map(record));
            newer += usize::from(found == tried.map(record));
            // Nor is it the end: the next is saved and found.
            store.save(&record(SAVES)).unwrap();
            assert_eq!(store.load().unwrap(), Some(record(SAVES)), "boundary {boundary}");
        }
    }
    assert!(disks > 1_500 && older > 300 && newer > 10, "{disks} disks, {older} older, {newer} newer");
}

#[test]
fn r3_a_second_power_cut_in_the_first_save_after_the_first() {
    let mut disks = 0_u64;
    for boundary in 1..=BOUNDARIES {
        let flash = Flash::default().stopping_at(boundary);
        let _ = save_all(&mut TwoSlots::new(flash.clone()), 0..SAVES);
        // Of the disks after the first cut one in nine, of those after the second one in thirteen: each is a slot torn twice.
        for disk in flash.after_power_cut().into_iter().step_by(9) {
            let held = TwoSlots::new(disk.clone()).load().unwrap();
            // At most making and syncing a name, writing and syncing bytes.
            for second in 1..=4 {
                let again = disk.after_power_cut().remove(0).stopping_at(second);
                let mut store = TwoSlots::new(again.clone());
                assert_eq!(store.load().unwrap(), held);
                let acknowledged = store.save(&record(0)).is_ok();
                for after in again.after_power_cut().into_iter().step_by(if acknowledged { 1 } else { 13 }) {
                    disks += 1;
                    let found = TwoSlots::new(after).load().unwrap();
                    let new = Some(record(0));
                    assert!(found == new || (!acknowledged && found == held), "{boundary}, then {second}");
                }
            }
        }
    }
    assert!(disks > 5_000, "{disks}");
}
