//! The rules of the house that a machine can check and no compiler does.
//!
//! **Problem.** Conventions that nobody checks hold until the first hurried evening. **Method.** One pass over every
//! file of the repository; each rule is a function that says which lines break it, and the test prints all of them.
//! **Deliberately absent:** style that rustfmt and clippy already judge, and exceptions: a rule that needs one is a
//! wrong rule.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The most lines of a source file.
const LONGEST_FILE: usize = 600;

/// One file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// Its text; empty if it is not text.
    pub(crate) text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_document(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Lines with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Everything that belongs to the repository: what git tracks or would, or every file below the root without git.
pub(crate) fn files(root: &Path) -> Vec<SourceFile> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output();
    let paths: Vec<String> = match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        Ok(_) | Err(_) => walk(root),
    };
    let read = |path: String| {
        // A file that was deleted and not yet committed is no concern of anyone.
        let bytes = std::fs::read(root.join(&path)).ok()?;
        Some(SourceFile { text: String::from_utf8(bytes).unwrap_or_default(), path })
    };
    paths.into_iter().filter_map(read).collect()
}

fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    directories.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(root) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Sources stay short enough to be read at one sitting.
fn too_long(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is_rust() && lines > LONGEST_FILE {
        return vec![format!("{}: {lines} lines; at most {LONGEST_FILE}, split it by subject", file.path)];
    }
    Vec::new()
}

/// Every source file begins with what it is about. A module of unit tests is about the file it belongs to.
fn headless(file: &SourceFile) -> Vec<String> {
    if file.path.ends_with("tests.rs") {
        return Vec::new();
    }
    let first = file.text.lines().find(|line| !line.starts_with("#![") && !line.trim().is_empty());
    if file.is_rust() && first.is_some_and(|line| !line.starts_with("//!")) {
        return vec![format!(
            "{}: begins without a header (`//! ...`) that says what it is about",
            file.path
        )];
    }
    Vec::new()
}

/// Words that must not be in the repository, and why. Put together here so that this file does not contain them.
fn banned_words() -> Vec<(String, &'static str)> {
    let outside = "the repository stands alone";
    let open = "finish it or leave it out";
    let mut words = vec![
        (["to", "do!("].concat(), open),
        (["unimple", "mented!("].concat(), open),
        (["FIX", "ME"].concat(), open),
        (["XX", "X:"].concat(), open),
        (["db", "g!("].concat(), open),
        (["/wo", "rk/"].concat(), outside),
        (["/ro", "ot/"].concat(), outside),
        (["issue", " #"].concat(), "say it here, not where it was discussed"),
        (["try-", "fresh"].concat(), outside),
        (["farm-", "bench"].concat(), outside),
    ];
    words.extend(
        ["spec", "sources", "vectors", "tools", "hooks"].map(|name| (format!("../shared/{name}"), outside)),
    );
    words
}

fn banned(file: &SourceFile) -> Vec<String> {
    if file.path == "Cargo.lock" {
        return Vec::new();
    }
    let words = banned_words();
    let judge = |(number, line): (usize, &str)| {
        // A topic of the protocol is no directory of somebody's machine.
        let line = line.replace(&["coterm/v1/ro", "ot/"].concat(), "coterm/v1/");
        let (word, why) = words.iter().find(|(word, _)| line.contains(word.as_str()))?;
        Some(format!("{}:{number}: `{word}`: {why}", file.path))
    };
    file.lines().filter_map(judge).collect()
}

/// The targets of the links of a Markdown line: `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Relative links of documents lead somewhere.
fn dead_links(file: &SourceFile, root: &Path) -> Vec<String> {
    if !file.is_document() {
        return Vec::new();
    }
    let directory = root.join(&file.path).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for link in links(line) {
            let target = link.split(['#', ' ']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere && !directory.join(target).exists() {
                found.push(format!("{}:{number}: the link to `{target}` leads nowhere", file.path));
            }
        }
    }
    found
}

/// What no crate may depend on, whatever it needs it for.
const FORBIDDEN_DEPENDENCIES: &[(&str, &[&str])] = &[
    // The two halves know each other by protocol alone.
    ("agent/Cargo.toml", &["coterm-cloud"]),
    ("cloud/Cargo.toml", &["coterm-agent"]),
    // Rules have no clock, file, socket, randomness or log.
    (
        "shared/Cargo.toml",
        &[
            "tokio",
            "rumqttc",
            "mqtt5",
            "rustls",
            "rusqlite",
            "axum",
            "ureq",
            "getrandom",
            "tracing",
            "coterm-certs",
        ],
    ),
];

/// The dependencies of programs; those of tests may be wider.
fn wrong_dependencies(file: &SourceFile) -> Vec<String> {
    let Some((_, forbidden)) = FORBIDDEN_DEPENDENCIES.iter().find(|(path, _)| *path == file.path) else {
        return Vec::new();
    };
    let mut section = "";
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if section.starts_with("[dependencies") && forbidden.contains(&name) {
            found.push(format!("{}:{number}: this crate may not depend on {name}", file.path));
        }
    }
    found
}

/// The visible top level is what a visitor sees first; it stays as it is.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "agent",
    "certs",
    "cloud",
    "rust-toolchain.toml",
    "shared",
    "tests",
];

fn misplaced(file: &SourceFile) -> Vec<String> {
    let top = file.path.split('/').next().unwrap_or_default();
    if top.starts_with('.') || top.starts_with("LICENSE") || TOP_LEVEL.contains(&top) {
        return Vec::new();
    }
    vec![format!("{}: `{top}` does not belong at the top level", file.path)]
}

/// Every breach of every rule, in the order of the files.
#[must_use]
pub fn breaches(root: &Path) -> Vec<String> {
    let judge = |file: SourceFile| {
        [
            too_long(&file),
            headless(&file),
            banned(&file),
            dead_links(&file, root),
            wrong_dependencies(&file),
            misplaced(&file),
        ]
        .concat()
    };
    files(root).into_iter().flat_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_rules() {
        let breaches = breaches(&repository());
        assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
    }

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_rule_finds_what_breaks_it() {
        let long = format!("//! x\n{}", "\n".repeat(LONGEST_FILE));
        assert_eq!(too_long(&file("a.rs", &long)).len(), 1);
        assert_eq!(too_long(&file("a.txt", &long)).len(), 0);
        assert_eq!(headless(&file("a.rs", "use x;\n//! late")).len(), 1);
        assert_eq!(headless(&file("a.rs", "#![no_std]\n\n//! early")).len(), 0);
        for (word, _) in banned_words() {
            assert_eq!(banned(&file("a.rs", &format!("fine\nx {word} y"))).len(), 1, "{word}");
        }
        let document =
            file("README.md", "[a](b.md) [c](https://d) [e](#f)\n```\n[g](h)\n```\n[i](Cargo.toml#j)");
        assert_eq!(dead_links(&document, &repository()), ["README.md:1: the link to `b.md` leads nowhere"]);
        let manifest =
            "[dependencies]\ncoterm-cloud.workspace = true\n[dev-dependencies]\ncoterm-cloud = {}\n";
        assert_eq!(wrong_dependencies(&file("agent/Cargo.toml", manifest)).len(), 1);
        assert_eq!(wrong_dependencies(&file("tests/Cargo.toml", manifest)).len(), 0);
        assert_eq!(misplaced(&file("scratch/x.rs", "")).len(), 1);
        assert_eq!(misplaced(&file(".ci/run", "")).len(), 0);
    }
}
