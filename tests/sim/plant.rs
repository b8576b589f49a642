//! Writes a copy of the sources with every bug of `rules.rs` in it, each behind its switch: `plant FROM INTO`.
//!
//! A program of its own, so that nothing has to be built before the copy is. Files that are as they should be are left
//! alone, so that what was built from them stays built.

mod rules;

use rules::{RULES, SWITCH};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What a build needs of the repository.
const NEEDED: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "shared", "cloud", "agent", "certs", "tests"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, from, into] = arguments.as_slice() else {
        eprintln!("plant FROM INTO: the repository, and where its copy with planted bugs goes");
        return ExitCode::FAILURE;
    };
    match plant(Path::new(from), Path::new(into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plant: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plant(from: &Path, into: &Path) -> Result<(), String> {
    let mut edited = BTreeMap::new();
    for edit in SWITCH.iter().chain(RULES.iter().flat_map(|rule| rule.edits)) {
        let read =
            || fs::read_to_string(from.join(edit.file)).map_err(|error| format!("{}: {error}", edit.file));
        let text = match edited.remove(edit.file) {
            Some(text) => text,
            None => read()?,
        };
        edited.insert(edit.file.to_owned(), edit.applied(&text)?);
    }
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    for name in NEEDED {
        copy(from, into, name, &edited)?;
    }
    Ok(())
}

fn copy(from: &Path, into: &Path, path: &str, edited: &BTreeMap<String, String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    if from.join(path).is_dir() {
        fs::create_dir_all(into.join(path)).map_err(failed)?;
        for entry in fs::read_dir(from.join(path)).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "target" {
                copy(from, into, &format!("{path}/{name}"), edited)?;
            }
        }
        return Ok(());
    }
    let bytes = match edited.get(path) {
        Some(text) => text.clone().into_bytes(),
        None => fs::read(from.join(path)).map_err(failed)?,
    };
    if fs::read(into.join(path)).ok().as_ref() == Some(&bytes) {
        return Ok(());
    }
    fs::write(into.join(path), bytes).map_err(failed)
}
