//! Many schedules, what they came to together, and a record of them that goes on where it was left.
//!
//! **Problem.** A million schedules take days, and a machine has them for hours at a time. **Method.** They are run in
//! blocks; after each the record, one file, is replaced by one that has the block in it, and the next run does those that are
//! missing. Which sources ran which seeds is part of the record. A block in which something was broken is not entered: what
//! was found stands in the record beside it, and the next run, by mended sources, begins with that block.
//! **Deliberately absent:** seeds that count twice, or one that was left out: a block that was not finished is run again from
//! its start.

use crate::faults::{Fault, Struck};
use crate::invariants::{Exercised, Invariant, Violation};
use crate::runner::run;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Schedules in a block of a record.
const BLOCK: u64 = 500;
/// With so many failed schedules there is enough to mend.
const ENOUGH: usize = 20;

/// What many schedules came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// How often each fault struck.
    pub struck: Struck,
    /// How often each invariant was looked at.
    pub exercised: Exercised,
    /// Schedules.
    pub runs: u64,
    /// Events.
    pub events: u64,
    /// Requests of operators, and those of them that were refused.
    pub requests: (u64, u64),
    /// Tokens.
    pub issued: u64,
    /// What was broken, and in which schedule.
    pub failed: Vec<(u64, Violation)>,
}

/// How many schedules run at a time: `SIM_THREADS`, or one on each core.
pub fn cores() -> usize {
    let asked = std::env::var("SIM_THREADS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Totals {
    /// Runs the seeds from `first` on, on all cores; not all of them once many have failed.
    pub fn of(first: u64, seeds: u64) -> Totals {
        let totals = Mutex::new(Totals::default());
        let next = AtomicU64::new(first);
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..cores() {
                scope.spawn(|| {
                    let none = BTreeSet::new();
                    loop {
                        // Asked first: a seed that was taken is run.
                        if stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + seeds {
                            return;
                        }
                        let run = run(seed, &none, false);
                        let mut totals = totals.lock().expect("whole");
                        totals.struck.add(&run.struck);
                        totals.exercised.add(&run.exercised);
                        totals.runs += 1;
                        totals.events += run.events;
                        totals.requests.0 += run.requests.0;
                        totals.requests.1 += run.requests.1;
                        totals.issued += run.issued as u64;
                        if let Some(violation) = run.violation {
                            let Violation { invariant, at, what } = &violation;
                            eprintln!("seed {seed}: invariant {invariant} at {at} ms: {what}");
                            totals.failed.push((seed, violation));
                            stopped.store(totals.failed.len() >= ENOUGH, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        totals.into_inner().expect("whole")
    }

    /// Faults that never struck, and invariants that were never looked at where they could have been broken, in so many
    /// schedules that each should have been: what does not happen tests nothing.
    pub fn idle(&self) -> Vec<&'static str> {
        idle(self.runs, |fault| self.struck.of(fault), |invariant| self.exercised.of(invariant))
    }
}

fn idle(runs: u64, struck: impl Fn(Fault) -> u64, looked_at: impl Fn(Invariant) -> u64) -> Vec<&'static str> {
    if runs < BLOCK {
        return Vec::new();
    }
    let faults = Fault::ALL.iter().filter(|fault| struck(**fault) == 0).map(|fault| fault.name());
    let unseen = Invariant::ALL.iter().filter(|invariant| looked_at(**invariant) == 0);
    faults.chain(unseen.map(|invariant| invariant.sentence())).collect()
}

/// Seeds that one version of the sources ran, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    /// The sources, by whatever `SIM_SOURCES` calls them.
    sources: String,
    /// The first of the seeds.
    first: u64,
    /// How many.
    seeds: u64,
    /// How long it took, in seconds, on the cores it had.
    seconds: u64,
}

impl Stretch {
    /// The seed behind the last.
    const fn end(&self) -> u64 {
        self.first + self.seeds
    }
}

/// A schedule that broke something before its block was entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    /// The sources that broke it.
    sources: String,
    /// Its seed.
    seed: u64,
    /// The invariant, by its number.
    invariant: u8,
    /// What was broken.
    what: String,
}

/// What all schedules so far came to; nothing was broken in them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Record {
    schedules: u64,
    events: u64,
    requests: u64,
    refused: u64,
    tokens: u64,
    stretches: Vec<Stretch>,
    /// What was found on the way.
    found: Vec<Found>,
    /// How often each fault struck.
    struck: BTreeMap<String, u64>,
    /// How often each invariant was looked at, by its number.
    looked_at: BTreeMap<u8, u64>,
}

impl Record {
    /// That of a file; an empty one if there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or says something else.
    pub fn read(file: &Path) -> Result<Record, String> {
        match fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    /// As [`Totals::idle`], of everything that was entered: a block alone has not the rarest faults.
    pub fn idle(&self) -> Vec<&'static str> {
        let struck = |fault: Fault| self.struck.get(fault.name()).copied().unwrap_or(0);
        let looked_at = |of: Invariant| self.looked_at.get(&of.number()).copied().unwrap_or(0);
        idle(self.schedules, struck, looked_at)
    }

    /// The first block from `from` on, and before `end`, that it has not: its first seed, and how many.
    fn missing(&self, from: u64, end: u64) -> Option<(u64, u64)> {
        let mut next = from;
        while let Some(of) = self.stretches.iter().find(|of| of.first <= next && next < of.end()) {
            next = of.end();
        }
        let others = self.stretches.iter().map(|of| of.first).filter(|first| *first > next);
        let until = others.fold(end, u64::min);
        (next < end).then(|| (next, BLOCK.min(until - next)))
    }

    /// Enters what a block found that is not to be entered itself.
    fn finds(&mut self, sources: &str, block: &Totals) {
        let found = block.failed.iter().map(|(seed, Violation { invariant, what, .. })| Found {
            sources: sources.to_owned(),
            seed: *seed,
            invariant: invariant.number(),
            what: what.clone(),
        });
        let known =
            |new: &Found| self.found.iter().any(|old| old.seed == new.seed && old.sources == new.sources);
        let new: Vec<_> = found.filter(|new| !known(new)).collect();
        self.found.extend(new);
    }

    /// Enters a block.
    pub fn enter(&mut self, sources: &str, first: u64, block: &Totals, seconds: u64) {
        self.schedules += block.runs;
        self.events += block.events;
        self.requests += block.requests.0;
        self.refused += block.requests.1;
        self.tokens += block.issued;
        for fault in Fault::ALL {
            *self.struck.entry(fault.name().to_owned()).or_default() += block.struck.of(*fault);
        }
        for invariant in Invariant::ALL {
            *self.looked_at.entry(invariant.number()).or_default() += block.exercised.of(*invariant);
        }
        match self.stretches.last_mut() {
            Some(last) if last.sources == sources && last.end() == first => {
                last.seeds += block.runs;
                last.seconds += seconds;
            }
            _ => {
                let sources = sources.to_owned();
                self.stretches.push(Stretch { sources, first, seeds: block.runs, seconds });
            }
        }
    }

    /// Puts it in the place of what the file says, or leaves that as it is.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, file: &Path) -> Result<(), String> {
        let new = file.with_extension("new");
        let text = serde_json::to_string_pretty(self).expect("numbers and names");
        let written = fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, file));
        written.map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// Runs the seeds from `first` on that a record has not, block by block, and enters them; leaves out blocks in which something
/// was broken, and stops when that was enough.
///
/// # Errors
/// The record cannot be read or written.
pub fn recorded(file: &Path, first: u64, seeds: u64) -> Result<(Record, Totals), String> {
    let sources = std::env::var("SIM_SOURCES").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned());
    let mut record = Record::read(file)?;
    let (began, end) = (Instant::now(), first + seeds);
    let (mut from, mut ran, mut failed) = (first, 0, Vec::new());
    while let Some((next, many)) = record.missing(from, end) {
        let started = Instant::now();
        let mut block = Totals::of(next, many);
        if block.failed.is_empty() {
            record.enter(&sources, next, &block, started.elapsed().as_secs());
        } else {
            record.finds(&sources, &block);
        }
        record.write(file)?;
        failed.append(&mut block.failed);
        if failed.len() >= ENOUGH {
            break;
        }
        (from, ran) = (next + many, ran + many);
        let left = began.elapsed().as_secs() * (end - from) / ran.max(1);
        let (hours, minutes) = (left / 3_600, left / 60 % 60);
        eprintln!("{} schedules recorded; {hours} h {minutes:02} min to go", record.schedules);
    }
    Ok((record, Totals { failed, ..Totals::default() }))
}

/// Tables of what struck and what was looked at.
pub fn table(totals: &Totals) {
    println!("\n| Fault | struck | each schedule |\n|---|---:|---:|");
    for fault in Fault::ALL {
        let struck = totals.struck.of(*fault);
        println!("| {} | {struck} | {:.2} |", fault.name(), struck as f64 / totals.runs.max(1) as f64);
    }
    println!("\n| Invariant | looked at |\n|---|---:|");
    for invariant in Invariant::ALL {
        println!("| {invariant} | {} |", totals.exercised.of(*invariant));
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Record { schedules, events, requests, refused, tokens, .. } = self;
        write!(
            f,
            "{schedules} schedules recorded, {events} events, {requests} requests ({refused} refused), {tokens} tokens"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(runs: u64, events: u64) -> Totals {
        Totals { runs, events, ..Totals::default() }
    }

    /// R1: a record goes on where a block is missing, says which sources ran what, and reads back as it was written.
    #[test]
    fn r1_a_record_goes_on_where_it_was_left() {
        let file = std::env::temp_dir().join(format!("coterm-sim-record-{}.json", std::process::id()));
        let _ = fs::remove_file(&file);
        let mut record = Record::read(&file).unwrap();
        assert_eq!(record.missing(1, 2_000), Some((1, 500)));
        record.enter("one", 1, &block(500, 10), 7);
        record.enter("one", 501, &block(500, 10), 8);
        record.enter("two", 1_001, &block(3, 10), 1);
        record.write(&file).unwrap();
        let again = Record::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(again.missing(1, 1_200), Some((1_004, 196)));
        assert_eq!(again.missing(1, 1_004), None);
        assert_eq!((again.schedules, again.events), (1_003, 30));
        let stretches: Vec<_> =
            again.stretches.iter().map(|of| (of.sources.as_str(), of.first, of.seeds)).collect();
        assert_eq!(stretches, [("one", 1, 1_000), ("two", 1_001, 3)]);
    }

    /// R1: a block in which something was broken is told of and comes again.
    #[test]
    fn r1_a_block_that_broke_something_is_not_entered() {
        let mut record = Record::default();
        record.enter("one", 1, &block(500, 10), 7);
        let violation = Violation { invariant: Invariant::Held, at: 3, what: "it was done".to_owned() };
        record.finds("one", &Totals { failed: vec![(640, violation)], ..block(500, 10) });
        assert_eq!((record.missing(1, 9_000), record.schedules), (Some((501, 500)), 500));
        let found: Vec<_> = record.found.iter().map(|of| (of.seed, of.invariant)).collect();
        assert_eq!(found, [(640, 13)]);
        record.enter("one", 1_001, &block(500, 10), 7);
        assert_eq!(record.missing(1, 9_000), Some((501, 500)), "first what is missing");
        assert_eq!(record.missing(1_001, 9_000), Some((1_501, 500)));
    }
}
