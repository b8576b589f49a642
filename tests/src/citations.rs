//! Every rule of the licensing domain is held to by a test that names it, and every attack by the tests it names.
//!
//! **Problem.** A rule nobody tests is an intention. **Method.** The rules are numbered in `shared/docs/LICENSING.md`; a test
//! names the one it holds to, in its own name (`k3_a_renewal_waits…`) or in a comment or message of its body. The list of
//! rules is read from that document and the names from the sources of tests, so a rule that is added without a test, or
//! loses its last one, fails here. The other way round, `shared/docs/THREATS.md` names
//! the tests that show each defense, and every one of them must exist. **Deliberately absent:** how well a test tests; and ranges (`K1-K8`), which say what a
//! file is about and hold to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rules that exist whatever the document says: what it must not lose silently.
const RULES: &[(char, u32)] = &[('D', 8), ('K', 9), ('G', 10), ('C', 3), ('E', 5), ('T', 2)];

/// Where the rules are written down.
const DOCUMENT: &str = "shared/docs/LICENSING.md";

/// Every rule number there is: those that must exist, and those the document has beyond them and does not mark `(ahead)`.
fn rules(document: &str) -> BTreeSet<String> {
    let fixed =
        RULES.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
    let heads = document.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    let written = heads.map(|(rule, _)| rule.to_owned()).filter(|rule| is_rule(rule));
    fixed.chain(written).collect()
}

/// A capital letter and a number.
fn is_rule(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|letter| letter.is_ascii_uppercase())
        && text.len() > 1
        && text.len() <= 3
        && chars.all(|digit| digit.is_ascii_digit())
}

/// The lines of a source file that are tests: all of a file of tests, and what follows `#[cfg(test)]` in another.
fn tests_of<'a>(path: &str, text: &'a str) -> &'a str {
    let own = ["/tests/", "/e2e/"].iter().any(|part| path.contains(part)) || path.ends_with("/tests.rs");
    // Headers of modules are about files, not about tests.
    let start = if own { "#[test]" } else { "#[cfg(test)]\nmod tests {" };
    let tokio = text.find("#[tokio::test]").filter(|_| own);
    let property = text.find("proptest! {").filter(|_| own);
    let first = text.find(start).into_iter().chain(tokio).chain(property).min();
    first.and_then(|at| text.get(at..)).unwrap_or_default()
}

/// The rules a line cites: `fn k3_…`, `// K3: …`, `"K7"`.
fn cited(line: &str) -> impl Iterator<Item = String> {
    let name = line
        .trim_start()
        .trim_start_matches("async ")
        .strip_prefix("fn ")
        .and_then(|name| name.split_once('_'))
        .map(|(rule, _)| rule.to_ascii_uppercase())
        .filter(|rule| is_rule(rule));
    let said = line.find("//").or_else(|| line.find('"')).and_then(|at| line.get(at..)).unwrap_or_default();
    // A range joins its ends with a hyphen, and is then no rule.
    let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let words = words.filter(|word| is_rule(word)).map(str::to_owned).collect::<Vec<_>>();
    name.into_iter().chain(words)
}

/// How often each rule is cited by the tests among these files, `(path, text)`.
fn citations<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (path, text) in files {
        // This file cites rules as examples.
        if !path.ends_with(".rs") || path.ends_with("src/citations.rs") {
            continue;
        }
        for rule in tests_of(path, text).lines().flat_map(cited) {
            *found.entry(rule).or_default() += 1;
        }
    }
    found
}

/// The rules that no test names.
#[must_use]
pub fn untested(root: &Path) -> Vec<String> {
    let files = crate::tidy::files(root);
    let document = files.iter().find(|file| file.path == DOCUMENT).map(|file| file.text.as_str());
    let found = citations(files.iter().map(|file| (file.path.as_str(), file.text.as_str())));
    rules(document.unwrap_or_default()).into_iter().filter(|rule| !found.contains_key(rule)).collect()
}

/// Where attacks are written down, each with the tests that show its defense.
const THREATS: &str = "shared/docs/THREATS.md";

/// The last cells of the tables of attacks: what shows the defense.
fn shown_by(threats: &str) -> impl Iterator<Item = &str> {
    let rows = threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Attack"));
    rows.filter_map(|row| Some(row.trim_end_matches(" |").rsplit_once(" | ")?.1))
}

/// The functions a cell names; anything else in it (a path) shows nothing by itself.
fn functions(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
}

/// What is wrong with the tables of attacks: rows that name nothing, and tests that do not exist.
#[must_use]
pub fn unshown(root: &Path) -> Vec<String> {
    let files = crate::tidy::files(root);
    let threats = files.iter().find(|file| file.path == THREATS).map_or("", |file| file.text.as_str());
    let sources = || files.iter().filter(|file| file.path.ends_with(".rs"));
    let missing = |test: &&str| !sources().any(|file| file.text.contains(&format!("fn {test}(")));
    let unnamed = shown_by(threats).filter(|cell| !cell.contains('`')).map(|cell| format!("no test: {cell}"));
    let gone =
        shown_by(threats).flat_map(functions).filter(missing).map(|test| format!("no such test: {test}"));
    unnamed.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::repository;

    #[test]
    fn tidy_every_rule_is_named_by_a_test() {
        let untested = untested(&repository());
        assert!(untested.is_empty(), "no test names these rules of {DOCUMENT}: {}", untested.join(", "));
    }

    #[test]
    fn tidy_every_test_the_tables_of_attacks_name_exists() {
        let unshown = unshown(&repository());
        assert!(unshown.is_empty(), "{THREATS}:\n{}", unshown.join("\n"));
        let row = "| Attack | Defense | Test |\n|---|---|---|\n| A | b, `c` | `d_e`, by `src/f.rs` |\n";
        assert_eq!(shown_by(row).flat_map(functions).collect::<Vec<_>>(), ["d_e"]);
    }

    #[test]
    fn tidy_a_citation_is_a_name_or_a_word_of_a_test_and_not_a_range() {
        let source = "//! K4 is what this file is about.\nuse x;\n#[test]\nfn k3_waits() {}\n// D8: and E2, G1-G5\n\
            async fn g10_stolen() {\nlet t1 = T2;\nassert!(x, \"C2\");";
        let found = citations([("shared/src/x/tests/keys.rs", source)]);
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["C2", "D8", "E2", "G10", "K3"]);
        assert!(citations([("shared/src/x/keys.rs", source)]).is_empty(), "code is no test");
        let inline = "// K1\n#[cfg(test)]\nmod tests {\n    fn e3_x() {}";
        assert_eq!(citations([("a.rs", inline)]).into_keys().collect::<Vec<_>>(), ["E3"]);
        let document = "- **K10** x\n- *(ahead)* **E6** y\n- **bold** z";
        let rules = rules(document);
        assert!(rules.contains("K10") && rules.contains("T2") && !rules.contains("E6"));
        assert_eq!(rules.len(), 8 + 9 + 10 + 3 + 5 + 2 + 1);
    }
}
