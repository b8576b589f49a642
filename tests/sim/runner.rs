//! Runs schedules: many, one again, or one made smaller; and says what they came to.

use crate::campaign::{self, Totals, table};
use crate::faults::{Fault, Struck};
use crate::hunt::hunt;
use crate::invariants::{Exercised, Invariant, Violation};
use crate::plan::Plan;
use crate::planted;
use crate::world::World;
use serde_json::{Value, json};
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What a schedule came to.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// A number that two equal runs share.
    pub digest: u64,
    /// Events taken.
    pub events: u64,
    /// How often each fault struck.
    pub struck: Struck,
    /// How often each invariant was looked at.
    pub exercised: Exercised,
    /// What happened, if asked for.
    pub trace: Vec<String>,
    /// Requests of operators, and how many were refused.
    pub requests: (u64, u64),
    /// Tokens issued.
    pub issued: usize,
}

/// Runs the schedule of a seed.
pub fn run(seed: u64, without: &BTreeSet<Fault>, traced: bool) -> Run {
    with(Plan::of(seed, without), traced)
}

/// Runs a schedule by its plan. A panic breaks an invariant like anything else.
pub fn with(plan: Plan, traced: bool) -> Run {
    let broken = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("something");
        let violation = Violation { invariant: Invariant::Sound, at: 0, what: format!("a panic: {text}") };
        Run { violation: Some(violation), ..Run::default() }
    };
    catch_unwind(AssertUnwindSafe(|| to_the_end(plan, traced))).unwrap_or_else(broken)
}

fn to_the_end(plan: Plan, traced: bool) -> Run {
    planted::plant(plan.planted);
    let mut world = World::new(plan, traced);
    world.run();
    let issued = world.air.lock().expect("whole").issued.len();
    Run {
        violation: world.violation.take(),
        digest: world.digest,
        events: world.events,
        struck: world.struck.clone(),
        exercised: world.exercised.clone(),
        trace: world.trace.take().unwrap_or_default(),
        requests: (world.operators.requests, world.operators.refused),
        issued,
    }
}

/// Takes fault kinds out one by one as long as the same invariant breaks.
fn smaller(seed: u64, first: &Violation) -> BTreeSet<Fault> {
    let mut without = BTreeSet::new();
    for fault in Fault::ALL {
        let mut fewer = without.clone();
        fewer.insert(*fault);
        let again = run(seed, &fewer, false);
        if again.violation.is_some_and(|violation| violation.invariant == first.invariant) {
            without = fewer;
        }
    }
    without
}

fn failure(seed: u64, without: &BTreeSet<Fault>, run: &Run) -> Value {
    let violation = run.violation.as_ref();
    json!({
        "seed": seed,
        "version": env!("CARGO_PKG_VERSION"),
        "without": without.iter().map(|fault| fault.name()).collect::<Vec<_>>(),
        "invariant": violation.map(|violation| violation.invariant.number()),
        "sentence": violation.map(|violation| violation.invariant.sentence()),
        "what": violation.map(|violation| violation.what.clone()),
        "at_millis": violation.map(|violation| violation.at),
        "digest": format!("{:016x}", run.digest),
        "trace": run.trace.iter().rev().take(4_000).rev().collect::<Vec<_>>(),
    })
}

fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os("SIM_DIR").unwrap_or_else(|| "target/sim-failures".into()))
}

/// Writes what is needed to see a failure again.
fn write(seed: u64, without: &BTreeSet<Fault>) -> PathBuf {
    let traced = run(seed, without, true);
    let file = directory().join(format!("{seed}.json"));
    std::fs::create_dir_all(directory()).expect("a place for failures");
    let text = serde_json::to_string_pretty(&failure(seed, without, &traced)).expect("JSON");
    std::fs::write(&file, text).expect("a failure can be written");
    file
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::args().skip_while(|argument| argument != name).nth(1).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {text}"))
    })
}

/// `--seeds N --first K [--record FILE]`, `--planted [--bugs NAME,NAME]`, `--replay FILE`, `--trace SEED`.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(file) = arguments.iter().skip_while(|argument| *argument != "--replay").nth(1) {
        return replay(file);
    }
    if arguments.iter().any(|argument| argument == "--trace") {
        log();
        let traced = run(number("--trace", 0), &BTreeSet::new(), true);
        traced.trace.iter().for_each(|line| println!("{line}"));
        println!("{:?} digest {:016x}", traced.violation, traced.digest);
        return ExitCode::SUCCESS;
    }
    let (first, seeds) = (number("--first", 1), number("--seeds", 100));
    if arguments.iter().any(|argument| argument == "--planted") {
        return hunt(first, seeds);
    }
    if let Some(file) = arguments.iter().skip_while(|argument| *argument != "--record").nth(1) {
        return record(Path::new(file), first, seeds);
    }
    let began = Instant::now();
    let totals = Totals::of(first, seeds);
    table(&totals);
    println!(
        "\n{} schedules from seed {first}, {} events, {} requests ({} refused), {} tokens, {} failed, {:.1} s",
        totals.runs,
        totals.events,
        totals.requests.0,
        totals.requests.1,
        totals.issued,
        totals.failed.len(),
        began.elapsed().as_secs_f64()
    );
    keep(&totals);
    verdict(&totals, &totals.idle())
}

/// Whether nothing was broken, and everything could have been.
fn verdict(totals: &Totals, idle: &[&str]) -> ExitCode {
    if totals.failed.is_empty() && !idle.is_empty() {
        println!("never struck, or never looked at: {}", idle.join(", "));
    }
    if totals.failed.is_empty() && idle.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs what a record has not yet, and says what all of it came to.
fn record(file: &Path, first: u64, seeds: u64) -> ExitCode {
    match campaign::recorded(file, first, seeds) {
        Ok((record, last)) => {
            println!("{record}");
            keep(&last);
            verdict(&last, &record.idle())
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps a few of the failed schedules in files.
fn keep(totals: &Totals) {
    for (seed, violation) in totals.failed.iter().take(3) {
        let without = if std::env::var_os("SIM_SHRINK").is_some() {
            smaller(*seed, violation)
        } else {
            BTreeSet::new()
        };
        println!("make replay FILE={}", write(*seed, &without).display());
    }
}

/// What the programs log of it goes to standard error, if `RUST_LOG` asks for it.
fn log() {
    let level = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let level = level.unwrap_or(tracing_subscriber::filter::LevelFilter::ERROR);
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).without_time().init();
}

/// Runs what a file says again and compares.
fn replay(file: &str) -> ExitCode {
    let text = std::fs::read_to_string(file).expect("a file to replay");
    let told: Value = serde_json::from_str(&text).expect("a file written by this program");
    let seed = told["seed"].as_u64().expect("a seed");
    let names: Vec<&str> =
        told["without"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let without: BTreeSet<Fault> =
        Fault::ALL.iter().copied().filter(|fault| names.contains(&fault.name())).collect();
    log();
    let again = run(seed, &without, true);
    again.trace.iter().for_each(|line| println!("{line}"));
    let same = told["digest"].as_str() == Some(&format!("{:016x}", again.digest));
    println!(
        "seed {seed}: {}",
        if same { "the same, bit for bit" } else { "NOT the same: another version?" }
    );
    match &again.violation {
        Some(violation) => {
            println!("invariant {} broken at {} ms: {}", violation.invariant, violation.at, violation.what)
        }
        None => println!("no invariant is broken"),
    }
    if same && again.violation.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RULES, SWITCH};
    use std::collections::BTreeMap;

    /// Seeds that once found something, and faults that were not needed for it.
    const REGRESSIONS: &[u64] = &[
        2, 3, 8, 18, 62, 75, 199, 305, 438, 766, 811, 918, 1_255, 1_682, 1_759, 2_018, 4_330, 5_550, 6_350,
        6_498, 6_722, 8_175, 8_218, 8_941, 9_647, 9_936, 10_022, 13_821, 15_303, 15_510, 19_969, 20_464,
        21_535, 67_354, 97_091,
    ];

    /// R1: the same seed is the same schedule, to the last event.
    #[test]
    fn r1_a_seed_decides_everything() {
        let [first, second] = [1, 1].map(|seed| run(seed, &BTreeSet::new(), false));
        assert_eq!(first.violation, None);
        assert_eq!((first.digest, first.events, first.issued), (second.digest, second.events, second.issued));
    }

    /// R1: what was found once is looked for in every run of the tests.
    #[test]
    fn r1_seeds_that_found_something_find_nothing_any_more() {
        for seed in REGRESSIONS {
            assert_eq!(run(*seed, &BTreeSet::new(), false).violation, None, "seed {seed}");
        }
    }

    /// R2: every bug of a rule is put into words that are in the sources, once.
    #[test]
    fn r2_planted_rules_are_where_they_are_said_to_be() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // One after the other, as they are put in: two bugs may be in one file.
        let mut texts = BTreeMap::new();
        for edit in RULES.iter().flat_map(|rule| rule.edits).chain(SWITCH) {
            let read = || std::fs::read_to_string(root.join(edit.file)).unwrap();
            let text: &mut String = texts.entry(edit.file).or_insert_with(read);
            *text = edit.applied(text).unwrap();
        }
    }
}
