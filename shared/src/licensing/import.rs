//! Many things at once: the lines of a file, decided as one change.
//!
//! **Problem.** Who comes from elsewhere brings thousands of sites, a million devices and years of orders; one command
//! each would judge a group once for every line, and leave half a file behind where line 900,000 is wrong. **Method.** One
//! command with all lines: each is decided by the rules of the single command on the outcome of those before it, every bad
//! line is found, and what the lines touched is judged once, at the end. **Deliberately absent:** reading files, and ids
//! and codes, which the shell makes.

use super::command::{ClaimMode, NewDevice};
use super::license_key::{IssuedKey, KeyPast};
use crate::id::{GroupId, SiteId};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use serde::{Deserialize, Serialize};

/// The most findings of an import that are listed one by one; the others are counted.
pub const FINDINGS_MAX: usize = 100_000;

/// The lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What tells this file from any other: a hash of it.
    pub print: String,
    /// Its lines, in order.
    #[serde(skip)]
    pub lines: Arc<Vec<ImportLine>>,
    /// How many of them are decided so far.
    #[serde(skip)]
    pub decided: Decided,
}

/// A count of the lines that are decided so far, for whoever waits for the rest: nothing depends on it, and two of them
/// are always equal.
#[derive(Clone, Debug, Default)]
pub struct Decided(Arc<AtomicUsize>);

impl Decided {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl PartialEq for Decided {
    fn eq(&self, _: &Decided) -> bool {
        true
    }
}

impl Eq for Decided {}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportLine {
    /// Its number, from 1.
    pub line: u64,
    /// What it says.
    pub row: ImportRow,
}

/// What a line of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportRow {
    /// A license group.
    Group {
        /// Its id.
        id: GroupId,
        /// Its name.
        name: String,
    },
    /// A site.
    Site {
        /// Its id.
        id: SiteId,
        /// Its path: the names from its root site down, with `/` between them.
        path: String,
        /// The group of a root site, by name or id; unassigned without one.
        group: Option<String>,
    },
    /// A device.
    Device {
        /// The device.
        device: Box<NewDevice>,
        /// The path or id of its site.
        site: String,
    },
    /// A key of a historical order, which vendor staff enter (decision 0021).
    Key {
        /// The key.
        key: Box<IssuedKey>,
        /// What it has been through.
        past: KeyPast,
        /// Its group, by name or id; unassigned without one.
        group: Option<String>,
        /// As increase or as renewal.
        mode: ClaimMode,
    },
}

/// The field of a refusal that is about a line of a file: `lines[17].site`.
#[must_use]
pub fn field_of_line(line: u64, column: Option<&str>) -> String {
    match column {
        Some(column) => format!("lines[{line}].{column}"),
        None => format!("lines[{line}]"),
    }
}

/// The names of a path: `HQ/Floor 1`. A `/` in a name is written `\/`, a `\` is written `\\`.
#[must_use]
pub fn names_of_path(path: &str) -> Vec<String> {
    let mut names = Vec::from([String::new()]);
    let mut escaped = false;
    for c in path.chars() {
        let Some(name) = names.last_mut() else { break };
        match (escaped, c) {
            (false, '\\') => {
                escaped = true;
                continue;
            }
            (false, '/') => names.push(String::new()),
            (true | false, c) => name.push(c),
        }
        escaped = false;
    }
    names
}

/// A name as a path has it.
#[must_use]
pub fn name_in_path(name: &str) -> String {
    name.replace('\\', "\\\\").replace('/', "\\/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_names_make_a_path_and_come_back(names in prop::collection::vec(".{1,8}", 1..5)) {
            let path: Vec<String> = names.iter().map(|name| name_in_path(name)).collect();
            prop_assert_eq!(names_of_path(&path.join("/")), names);
        }
    }
}
