//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `FILE:LINE`, a file, `the environment` or `the command line`; empty if it is about the whole.
    pub place: String,
    /// The key, dotted; empty if it is about a whole file.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, at least one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors(pub Vec<Finding>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The line (from 1) on which `key` is set in this TOML text; good enough to point at, not a parser.
pub(crate) fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    // `actuator[1].kind` is in the second [[actuator]].
    let (section, nth) = match section.split_once('[') {
        Some((array, index)) => (array, index.trim_end_matches(']').parse().unwrap_or(0)),
        None => (section, 0_usize),
    };
    let mut current = "";
    let mut seen = 0_usize;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let array = header.starts_with('[');
            current = header.trim_start_matches('[').split(']').next().unwrap_or("").trim();
            if array && current == section {
                seen += 1;
            }
            // A whole unknown section is pointed at by its header.
            if section.is_empty() && current == name {
                return Some(n + 1);
            }
            continue;
        }
        let here = current == section && (seen == 0 || seen == nth + 1);
        let set = line.split_once('=').map(|(left, _)| left.trim().trim_matches('"'));
        if here && set == Some(name) {
            return Some(n + 1);
        }
    }
    None
}

/// The known word nearest to an unknown one, if it is near enough to be a typing error.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, for short words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
