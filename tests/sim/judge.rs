//! The judge of the daemons: what is looked at after every answer of the books, at every tick, and at the end.
//!
//! Devices are looked at after everything they do: `watch.rs`.

use crate::cloud::Issue;
use crate::device::{Device, truth};
use crate::grace::{self, Look};
use crate::invariants::Invariant;
use crate::recount;
use crate::reference;
use crate::safety;
use crate::store::{Reader, locked};
use crate::world::World;
use coterm_cloud::books::{Change, Committed};
use coterm_cloud::store::chain::verify_chain;
use coterm_cloud::store::{Reads, StreamId};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Command, Organization};
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;

/// A verdict on one thing.
fn once(verdict: Result<(), String>) -> Result<u64, String> {
    verdict.map(|()| 1)
}

impl World {
    /// What was acknowledged must be in the log, once.
    pub fn look_at_the_log(&mut self) {
        let db = locked(&self.machines[0].disk).db.clone();
        let mut counts: BTreeMap<(OrganizationId, &str), usize> = BTreeMap::new();
        for stream in db.streams() {
            let Some(organization) = stream.organization() else { continue };
            for entry in db.entries(stream) {
                *counts.entry((organization, entry.request_id.as_str())).or_default() += 1;
            }
        }
        let mut wrong = None;
        for acknowledged in &self.operators.acknowledged {
            let (Some(organization), Some(lines)) = (acknowledged.organization, acknowledged.lines) else {
                continue;
            };
            let found = counts.get(&(organization, acknowledged.request_id.as_str())).copied().unwrap_or(0);
            self.exercised.hit(Invariant::Acknowledged);
            if found != lines {
                wrong =
                    Some(format!("{} wrote {lines} lines and the log has {found}", acknowledged.request_id));
            }
        }
        if let Some(wrong) = wrong {
            self.broken(Invariant::Acknowledged, wrong);
        }
    }

    /// Has the clerk of an organization read on in its log, and compares the books as they are stored.
    fn look_at_keys(&mut self, organization: usize) {
        let Some(books) = self.organization(0, organization) else { return };
        let clerk = &mut self.operators.clerks[organization];
        if clerk.read() == books.version() {
            return;
        }
        let db = locked(&self.machines[0].disk).db.clone();
        let mut log = db.entries_after(StreamId::from(books.id()), clerk.read());
        let read = log.try_for_each(|line| clerk.enter(line));
        let verdict = read.and_then(|()| match clerk.read() == books.version() {
            true => clerk.agree(&books),
            false => Err(format!("the log has {} lines, the books {}", clerk.read(), books.version())),
        });
        self.judged(Invariant::Books, once(verdict));
    }

    /// Counts again what the books say of every organization that changed, and what became of the graces meanwhile.
    pub fn look_at_books(&mut self) {
        for (n, organization) in self.operators.organizations.into_iter().enumerate() {
            self.look_at_keys(n);
            let Some(node) = &self.nodes[0] else { return };
            let at = node.now();
            // A freeze of everything puts steps off, also when it is over.
            let frozen = node.books.platform().freeze().is_some();
            let Some(books) = node.books.present(organization, at) else { continue };
            if let Err(what) = recount::overdue(&books, at) {
                return self.broken(Invariant::Books, what);
            }
            let known = self.operators.looked.get(&organization);
            if known.is_some_and(|known| known.books.version() == books.version()) {
                continue;
            }
            let settings = self.operators.clerks[n].settings();
            let look = Look { books, at, truly: self.now, settings };
            self.judged(Invariant::Books, once(recount::groups(&look.books)));
            if !frozen {
                self.judged(Invariant::Books, once(safety::trials(&look.books)));
                self.judged(Invariant::Paced, safety::paced(&look.books));
            }
            let firsts = self.operators.clerks[n].firsts(&look.books);
            if let Some(known) = self.operators.looked.insert(organization, look.clone()) {
                self.judged(Invariant::Grace, once(grace::between(&known, &look, firsts)));
                if !frozen {
                    self.judged(Invariant::Paced, safety::stood(&known, &look));
                }
            }
        }
    }

    /// What was just answered, against what it may do to credit (D8), and without a second person (E6).
    pub fn look_at_done(
        &mut self,
        node: usize,
        change: &Change,
        before: &Organization,
        committed: &Committed,
        after: &Organization,
    ) {
        let credit = once(recount::credit(change, before, after, committed.at));
        self.judged(Invariant::Credit, credit.map_err(|what| format!("{change:?}: {what}")));
        if let Some(held) = &committed.held {
            self.note(&[33], || format!("{} waits for the vendor", held.operation.operation));
            self.check(Invariant::Held, recount::same(before, after), || {
                format!("{} waits for the vendor and was done: {change:?}", held.operation.operation)
            });
            return;
        }
        let platform = match &self.nodes[node] {
            Some(node) => node.books.platform(),
            None => return,
        };
        let under = |of: &Organization| of.clone().under(platform.freeze());
        let (before, after) = (under(before), under(after));
        // What is approved, or ends a freeze, locks whom it locks; what one cloud did the other does not know at once.
        let decided = matches!(change, Change::Organization { command: Command::Safety(_), .. });
        if node == 0 && !decided {
            let verdict = self.operators.lately.done(&before, &after, committed.at);
            self.judged(Invariant::Held, verdict.map_err(|what| format!("{change:?}: {what}")));
        }
        if platform.freeze().is_none() {
            let verdict = safety::begun(&before, &after);
            self.judged(Invariant::Paced, verdict.map_err(|what| format!("{change:?}: {what}")));
        }
    }

    /// The end: every device is where the books want it (invariant 9).
    pub fn judge(&mut self) {
        self.look_at_the_log();
        let reader = Reader::Own(Box::new(locked(&self.machines[0].disk).db.clone()));
        for stream in reader.streams().unwrap_or_default() {
            let verified = verify_chain(&reader, stream);
            self.check(Invariant::Acknowledged, matches!(verified, Ok(Ok(_))), || {
                format!("the log: {verified:?}")
            });
        }
        let Some(node) = &self.nodes[0] else {
            return self.broken(Invariant::Converges, "no cloud runs".to_owned());
        };
        // What this very look at the clock changes nobody can have been told yet.
        let platform = node.books.platform();
        let settled = |of: &Device| {
            let books = node.books.organization(of.organization)?.under(platform.freeze());
            books.wanted(&of.id).map(|wanted| wanted.schedule)
        };
        let settled: Vec<_> = self.devices.iter().map(settled).collect();
        node.turn();
        let cloud_now = node.now().as_secs();
        let wanted: Vec<_> = self
            .devices
            .iter()
            .map(|of| node.books.present(of.organization, node.now()).and_then(|books| books.wanted(&of.id)))
            .collect();
        for (device, (wanted, settled)) in wanted.into_iter().zip(settled).enumerate() {
            let of = &self.devices[device];
            let (issue, cap, real) = (of.known.issue.clone(), of.cap, self.real_mode(device));
            let (lead, wall_lead) = (of.lead, of.wall_lead);
            let Some(wanted) = wanted else {
                // Nobody ever claimed it.
                let none = issue.is_none() || self.second_ever || self.restored_ever;
                self.check(Invariant::Converges, none, || {
                    format!("dev-{device} is nobody's and holds {issue:?}")
                });
                continue;
            };
            let held = issue.as_ref().map(|issue| issue.schedule);
            let schedule = settled.filter(|settled| held == Some(*settled)).unwrap_or(wanted.schedule);
            self.check(Invariant::Converges, held == Some(schedule), || {
                format!("dev-{device} is to hold {schedule:?} and holds {issue:?}")
            });
            // Whoever is connected holds a token that is fresh; the last word to a retired one stays true (domain G10).
            let fresh = issue.as_ref().is_none_or(|issue| issue.lease_ends_at.as_secs() > truth(self.now));
            self.check(Invariant::Converges, fresh || wanted.is_farewell(), || {
                format!("dev-{device} holds a token whose lease is over: {issue:?}")
            });
            // Whoever is connected hears of the cloud often enough to know no offline budget.
            // One who was told the last by a clock that was behind is behind as far, until it hears of a later time.
            let lag =
                issue.as_ref().map_or(0, |issue| issue.truly_at.saturating_sub(issue.issued_at.as_secs()));
            let told = issue.map(|issue| Issue { schedule, offline_lock_at: Timestamp::MAX, ..issue });
            let mode = |at: u64| reference::mode(told.as_ref(), at, at, cap);
            // A signed time from a cloud whose clock ran ahead stays with the device when that clock is right again: a date
            // that lies between is reached there first, and so is a lock by a wall clock it may believe.
            let certain = truth(self.now) + lead + 2;
            let locking = certain + wall_lead.saturating_sub(lead);
            let dragged = reference::mode(told.as_ref(), certain, locking, cap);
            let now = truth(self.now);
            let due = [mode(now), mode(cloud_now), mode(now - 60), mode(now - lag - 60), dragged];
            self.check(Invariant::Converges, due.contains(&real), || {
                format!("dev-{device} is in {real:?}, {due:?} is due")
            });
        }
    }
}
