//! How measurements are kept: a table to read and one JSON file to compare, `target/bench/results.json`.
//!
//! Machines are noisy, so goals are ratios to a floor measured in the same run, turn by turn with what is measured, and
//! every figure is the median of several rounds. Absolute numbers are only shown. Beside each figure stands the load of
//! the machine when it was taken: on a busy one even ratios are worth less.

use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a figure is held to.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each bench uses those it needs")]
pub(crate) enum Goal {
    /// The ratio to the floor is at least this.
    RatioAtLeast(f64),
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The ratio to the floor differs from 1 by at most this.
    RatioWithin(f64),
    /// The figure itself is at most this.
    AtMost(f64),
    /// The figure is exactly this: a count.
    Exactly(f64),
    /// Nothing: it explains another one.
    Shown,
}

impl Goal {
    fn text(self) -> String {
        match self {
            Goal::RatioAtLeast(bound) => format!("ratio >= {bound}"),
            Goal::RatioAtMost(bound) => format!("ratio <= {bound}"),
            Goal::RatioWithin(bound) => format!("ratio 1 +- {bound}"),
            Goal::AtMost(bound) => format!("<= {bound}"),
            Goal::Exactly(count) => format!("= {count}"),
            Goal::Shown => String::new(),
        }
    }

    fn holds(self, measured: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Goal::RatioAtLeast(bound) => Some(ratio? >= bound),
            Goal::RatioAtMost(bound) => Some(ratio? <= bound),
            Goal::RatioWithin(bound) => Some((ratio? - 1.0).abs() <= bound),
            Goal::AtMost(bound) => Some(measured <= bound),
            Goal::Exactly(count) => Some((measured - count).abs() < 0.5),
            Goal::Shown => None,
        }
    }
}

/// The middle one of some values.
#[allow(dead_code, reason = "each bench uses what it needs")]
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Where results and scratch files of benches go: below `target`, which is on the disk the project is on.
pub(crate) fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&directory).unwrap();
    directory.canonicalize().unwrap()
}

/// The figures of one subject.
pub(crate) struct Report {
    subject: &'static str,
    /// What is measured, and when: figures of other subjects may be of other sources, on another day.
    sources: String,
    taken_at: String,
    figures: Vec<Value>,
    curves: Vec<Value>,
}

impl Report {
    pub(crate) fn new(subject: &'static str) -> Report {
        eprintln!("\n{subject}: load {}", load());
        let sources = said("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
        let taken_at = said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).unwrap_or_default();
        Report { subject, sources, taken_at, figures: Vec::new(), curves: Vec::new() }
    }

    /// Adds what share of something was done after how long: for each series its percentiles, evenly spread.
    #[allow(dead_code, reason = "each bench uses what it needs")]
    pub(crate) fn curve(&mut self, name: impl Into<String>, unit: &str, series: Vec<(String, Vec<f64>)>) {
        let series: Vec<Value> =
            series.into_iter().map(|(name, points)| json!({ "name": name, "points": points })).collect();
        self.curves.push(json!({
            "subject": self.subject, "name": name.into(), "unit": unit, "series": series,
            "sources": self.sources, "taken_at": self.taken_at,
        }));
    }

    /// Adds a figure, with its floor and what that floor is.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        measured: f64,
        floor: Option<(f64, &str)>,
        goal: Goal,
    ) {
        let ratio = floor.map(|(floor, _)| measured / floor);
        let figure = json!({
            "subject": self.subject, "name": name.into(), "unit": unit, "measured": measured,
            "floor": floor.map(|(value, _)| value), "floor_is": floor.map(|(_, what)| what),
            "ratio": ratio, "goal": goal.text(), "holds": goal.holds(measured, ratio), "load": load(),
            "sources": self.sources, "taken_at": self.taken_at,
        });
        eprintln!("{}", line(&figure));
        self.figures.push(figure);
    }

    /// Writes the figures into the results in the place of the subject's older ones, and prints all there are.
    pub(crate) fn finish(self) {
        let path = directory().join("results.json");
        let old: Value =
            fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let others = |kind: &str| {
            let all = old[kind].as_array().cloned().unwrap_or_default();
            all.into_iter().filter(|one| one["subject"] != self.subject).collect::<Vec<_>>()
        };
        let figures = [others("figures"), self.figures].concat();
        let curves = [others("curves"), self.curves].concat();
        println!("\n| | measured | floor | ratio | goal | holds | load | sources |");
        println!("|---|--:|--:|--:|---|---|--:|---|");
        figures.iter().for_each(|figure| println!("{}", line(figure)));
        let results = json!({ "environment": environment(), "figures": figures, "curves": curves });
        fs::write(path, serde_json::to_vec_pretty(&results).unwrap()).unwrap();
    }
}

/// A figure as a line of the table.
fn line(figure: &Value) -> String {
    let text = |field: &str| figure[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| figure[field].as_f64().map(short).unwrap_or_default();
    let holds = match figure["holds"].as_bool() {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    format!(
        "| {} | {} {} | {} | {} | {} | {holds} | {} | {} |",
        text("name"),
        number("measured"),
        text("unit"),
        number("floor"),
        number("ratio"),
        text("goal"),
        text("load"),
        text("sources"),
    )
}

/// Three digits are more than a noisy machine can tell.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// How many threads want a core, as an average over the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// What a program says, in one line.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output();
    output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the figures were taken on.
fn environment() -> Value {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or_default().trim().to_owned()
    };
    let mut environment = Map::new();
    let mut put = |name: &str, value: Value| environment.insert(name.to_owned(), value);
    put("processor", json!(field("/proc/cpuinfo", "model name")));
    put("cores", json!(std::thread::available_parallelism().map_or(0, usize::from)));
    put("memory", json!(field("/proc/meminfo", "MemTotal")));
    put("kernel", json!(fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim()));
    put("file_system", json!(said("stat", &["-f", "-c", "%T", &directory().to_string_lossy()])));
    put("compiler", json!(said("rustc", &["--version"])));
    Value::Object(environment)
}
