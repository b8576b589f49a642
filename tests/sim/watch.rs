//! The invariants, looked at after everything a device does. The daemons' judge is `judge.rs`.

use crate::device::{Known, Series, truth};
use crate::invariants::Invariant;
use crate::reference;
use crate::world::World;
use coterm_agent::driver::{Effects, StoredState};
use coterm_shared::enforcement::OperatingMode;
use coterm_shared::protocol::Report;
use coterm_shared::token::{Keyring, KeyringDocument, Root};

impl World {
    /// What a device has just decided, against what the world knows of it.
    pub fn watch(&mut self, device: usize, effects: &Effects) {
        let generation = self.devices[device].flash.borrow().generation;
        if generation != self.devices[device].known.generation {
            self.read_flash(device, generation);
        }
        let (now, steady) = (self.now, self.plan.steady_secs);
        let of = &mut self.devices[device];
        let times = of.times(now, steady);
        let (mildest, strictest) = reference::bounds(of.known.issue.as_ref(), times, of.cap);
        let ordered = effects.order.as_ref().map(|order| order.mode).or(of.ordered);
        let (cap, known, full) = (of.cap, of.known.mode, of.flash.borrow().full);
        let floor = of.driver.as_ref().map_or(0, |driver| driver.trusted_time().floor.as_secs());
        let held = of.known.issue.as_ref().map(|issue| issue.version);
        self.check(Invariant::WallClock, times.earned <= floor && floor <= times.at_most, || {
            format!(
                "dev-{device} finds it is {floor}; it has earned {} and can know {} at most",
                times.earned, times.at_most
            )
        });
        if let Some(mode) = ordered {
            self.check(Invariant::Egress, mode <= cap, || {
                format!("dev-{device} is driven to {mode:?} beyond {cap:?}")
            });
            if mode > OperatingMode::Full {
                self.check(Invariant::NotBeforeGrace, mode <= strictest, || {
                    format!(
                        "dev-{device} is driven to {mode:?} at {}, at most {strictest:?} is due ({times:?})",
                        truth(now)
                    )
                });
            }
            self.check(Invariant::WallClock, mode >= mildest, || {
                format!(
                    "dev-{device} is in {mode:?} at {}, at least {mildest:?} is due ({times:?})",
                    truth(now)
                )
            });
        }
        if let Some(order) = &effects.order {
            self.note(&[40, device as u64, order.mode as u64], || {
                format!("dev-{device} orders {:?}", order.mode)
            });
            let saved = known == Some(order.mode) || (full && known.is_none_or(|known| order.mode >= known));
            self.check(Invariant::PersistFirst, saved, || {
                format!("dev-{device} orders {:?} and {known:?} is on its flash", order.mode)
            });
        }
        if let Some(state) = effects.public_state.as_ref().filter(|state| state.mode > OperatingMode::Full) {
            self.check(Invariant::Why, !state.reasons.is_empty() && !state.why.is_empty(), || {
                format!("dev-{device} shows no reason: {state:?}")
            });
        }
        if let Some((bytes, report)) =
            effects.report.as_ref().and_then(|bytes| Some((bytes, Report::parse(bytes).ok()?)))
        {
            self.note(
                &[41, device as u64, report.mode as u64, report.held.map_or(0, |held| held.seq)],
                || {
                    format!(
                        "dev-{device} reports {:?}, holds {:?}, {:?}",
                        report.mode, report.held, report.reasons
                    )
                },
            );
            self.check(Invariant::PersistFirst, report.held == held, || {
                format!("dev-{device} reports {:?} and {held:?} is on its flash", report.held)
            });
            if report.mode > OperatingMode::Full {
                self.check(Invariant::Why, !report.reasons.is_empty(), || {
                    format!("dev-{device} is in {:?} and says no reason", report.mode)
                });
            }
            self.devices[device].reported = Some((bytes.clone(), report));
        }
    }

    /// What got onto the flash.
    fn read_flash(&mut self, device: usize, generation: u64) {
        let now = self.now;
        let record = self.devices[device].flash.borrow_mut().record();
        let read = record.as_ref().map(|bytes| StoredState::read(bytes).map(StoredState::into_record));
        let record = match read {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                return self.broken(Invariant::PersistFirst, format!("dev-{device}: {error}"));
            }
            None => return,
        };
        let (id, organization) = (self.devices[device].id.clone(), self.devices[device].organization);
        let issue = match &record.token {
            None => None,
            Some(bytes) => {
                let found = self.air.lock().expect("whole").issued.get(bytes.as_slice()).cloned();
                let ours = found.filter(|issue| issue.device == id && issue.organization == organization);
                self.check(Invariant::Unverified, ours.is_some(), || {
                    format!("dev-{device} accepted a token nobody issued to it")
                });
                ours
            }
        };
        let documents = [&record.keyring, &record.root].into_iter().flatten();
        if !documents.clone().all(|document| self.documents.contains(document)) {
            self.broken(
                Invariant::Unverified,
                format!("dev-{device} accepted a root or keyring nobody made"),
            );
        }
        let keyring = record.keyring.as_deref().and_then(|bytes| self.series(bytes)).unwrap_or_default();
        let had = self.devices[device].known.keyring;
        self.check(Invariant::NeverBack, keyring >= had, || {
            format!("dev-{device} has taken {keyring:?} for {had:?}")
        });
        let mark = record.high_water.map(|mark| mark.version);
        let best = self.devices[device].best;
        let back = match (best, mark) {
            (Some(best), Some(mark)) => mark < best,
            // Forgotten with its epoch (token §3).
            (Some(best), None) => best.epoch >= keyring.epoch,
            (None, _) => false,
        };
        self.check(Invariant::NeverBack, !back, || format!("dev-{device} accepted {mark:?} after {best:?}"));
        let of = &mut self.devices[device];
        of.best = mark.or(best);
        let mut earned = of.earned(now);
        let anew = had.epoch > 0 && (keyring.epoch > had.epoch || keyring.root > had.root);
        if anew {
            // A raised epoch begins time anew, and so does a keyring by other keys (token §3, §5).
            (earned, of.trouble) = (keyring.at, true);
            (of.lead, of.wall_lead) = (0, 0);
        }
        if let Some(issue) = &issue
            && of.known.issue.as_ref() != Some(issue)
        {
            // A token that came with such a keyring may have been there a moment before it.
            if !anew {
                earned = earned.max(issue.issued_at.as_secs());
            }
            let lead = issue.issued_at.as_secs().saturating_sub(issue.truly_at);
            of.lead = of.lead.max(lead);
            if lead > 7_200 {
                let what = format!("dev-{device} holds a token from {lead} s ahead of the true time");
                return self.broken(Invariant::NotBeforeGrace, what);
            }
        }
        of.earned = (earned, of.uptime(now));
        // What a power cut or a thief left there was not saved in this boot, and says nothing of its uptime.
        let saved = of.flash.borrow().saved;
        of.earned_on_flash = if saved { earned } else { earned.min(of.earned_on_flash) };
        of.known = Known { generation, issue, mode: record.mode.map(|mode| mode.mode), keyring };
        let version = of.known.issue.as_ref().map_or(0, |issue| issue.version.seq);
        self.note(&[42, device as u64, version], || format!("dev-{device} has on its flash: {mark:?}"));
    }

    /// Where a keyring is in the series.
    fn series(&mut self, bytes: &[u8]) -> Option<Series> {
        if let Some(known) = self.keyrings.get(bytes) {
            return Some(*known);
        }
        let office = self.keys.0.lock().expect("whole");
        let by =
            |root: &Root| Some((Keyring::verify(bytes, root, None).ok()?.document().clone(), root.version()));
        let (document, root): (KeyringDocument, u64) = office.roots().find_map(by)?;
        let (version, epoch, at) = (document.version, document.min_epoch, document.issued_at.as_secs());
        let known = Series { root, version, epoch, at };
        drop(office);
        self.keyrings.insert(bytes.to_vec(), known);
        Some(known)
    }
}
