//! The flash of a device: two slots, a cache in front of them, and power that goes in the middle of a write.

use crate::planted::Planted;
use coterm_agent::state_file::{Medium, Slot, StateStore, TwoSlots};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// What becomes of a write that power ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of it reached the flash.
    Lost,
    /// A part of it did.
    Torn,
}

/// Generation and record of a slot, if it is whole.
type Read = Option<(u64, Vec<u8>)>;

/// The slots.
#[derive(Clone, Debug, Default)]
pub struct Flash {
    /// What survives a power cut.
    durable: [Vec<u8>; 2],
    /// Each slot as read when it changed last; `None` if nobody has looked since.
    read: [Option<Read>; 2],
    /// What was written and not synced.
    cached: [Option<Vec<u8>>; 2],
    /// There is no room.
    pub full: bool,
    /// At which of the next writes or syncs power ends.
    pub fuse: Option<(u64, Cut)>,
    /// Power ended in the middle of a save.
    pub blown: Option<Cut>,
    /// Changes whenever what is durable does.
    pub generation: u64,
    /// Something was saved since power came.
    pub saved: bool,
    /// Saves that found no room.
    pub refused: u64,
    /// The bug that was put in.
    pub planted: Option<Planted>,
}

impl Flash {
    fn index(&self, slot: Slot) -> usize {
        match slot {
            Slot::Zero => 0,
            Slot::One => usize::from(self.planted != Some(Planted::OneSlot)),
        }
    }

    /// Whether a slot is the newer of two.
    fn is_newer(&self, slot: Slot) -> bool {
        let generation = |n: usize| generation(self.cached[n].as_ref().unwrap_or(&self.durable[n]));
        let (own, other) = (generation(self.index(slot)), generation(self.index(slot.other())));
        other > 0 && own > other
    }
}

impl Flash {
    /// Power goes: what was not synced is lost, or torn.
    pub fn cut(&mut self, cut: Cut) {
        for n in 0..2 {
            if let (Some(cached), Cut::Torn) = (self.cached[n].take(), cut) {
                self.generation += 1;
                // Somewhere in what is not padding.
                let written = cached.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let at = written * (1 + self.generation as usize * 7 % 15) / 16;
                (self.durable[n], self.read[n]) = (torn(&self.durable[n], &cached, at), None);
            }
        }
        self.cached = [None, None];
        (self.fuse, self.blown, self.saved) = (None, None, false);
    }

    /// What a restart after a power cut would read.
    pub fn record(&mut self) -> Option<Vec<u8>> {
        for (slot, read) in self.durable.iter().zip(&mut self.read) {
            // The other slot says what it said: only the one that was written is read.
            read.get_or_insert_with(|| {
                let record = TwoSlots::new(Alone(slot)).load().ok().flatten()?;
                Some((generation(slot), record))
            });
        }
        let whole = self.read.iter().flatten().flatten();
        whole.max_by_key(|(generation, _)| *generation).map(|(_, record)| record.clone())
    }

    /// A copy of what is durable, as a thief or a backup would take.
    pub fn copy(&self) -> [Vec<u8>; 2] {
        self.durable.clone()
    }

    /// Puts a copy back.
    pub fn restore(&mut self, copy: [Vec<u8>; 2]) {
        (self.durable, self.read) = (copy, [None, None]);
        self.cached = [None, None];
        self.generation += 1;
    }

    /// Whether power ends at this step.
    fn ends(&mut self) -> Option<Cut> {
        let (left, cut) = self.fuse?;
        if left > 0 {
            self.fuse = Some((left - 1, cut));
            return None;
        }
        self.fuse = None;
        self.blown = Some(cut);
        Some(cut)
    }
}

/// The first part is new, the rest as it was.
fn torn(old: &[u8], new: &[u8], at: usize) -> Vec<u8> {
    let mut mixed = new[..at].to_vec();
    mixed.extend(old.iter().skip(at));
    mixed
}

/// The generation of a slot, which stands behind magic and format.
fn generation(slot: &[u8]) -> u64 {
    slot.get(12..20).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight")))
}

/// A flash with one slot written, to be read alone.
struct Alone<'a>(&'a [u8]);

impl Medium for Alone<'_> {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        Ok(if slot == Slot::Zero { self.0.to_vec() } else { Vec::new() })
    }

    fn write(&mut self, _: Slot, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self, _: Slot) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// The flash as the agent sees it.
#[derive(Clone, Debug, Default)]
pub struct FlashMedium(pub Rc<RefCell<Flash>>);

impl Medium for FlashMedium {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        let flash = self.0.borrow();
        if flash.planted == Some(Planted::OlderSlot) && flash.is_newer(slot) {
            return Ok(Vec::new());
        }
        let index = |slot| flash.index(slot);
        Ok(flash.cached[index(slot)].as_ref().unwrap_or(&flash.durable[index(slot)]).clone())
    }

    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        let mut flash = self.0.borrow_mut();
        if flash.blown.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if flash.full {
            flash.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n = flash.index(slot);
        flash.cached[n] = Some(bytes.to_vec());
        match flash.ends() {
            Some(_) => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(()),
        }
    }

    fn sync(&mut self, slot: Slot) -> io::Result<()> {
        let mut flash = self.0.borrow_mut();
        if flash.blown.is_some() || flash.ends().is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if flash.planted == Some(Planted::SyncLies) {
            return Ok(());
        }
        let n = flash.index(slot);
        if let Some(bytes) = flash.cached[n].take() {
            (flash.durable[n], flash.read[n], flash.saved) = (bytes, None, true);
            flash.generation += 1;
        }
        Ok(())
    }
}
