//! The README's own commands, in its order, run against a real daemon: what it promises is what happens.

use coterm_shared::enforcement::{OperatingMode, PublicState};
use coterm_tests::cloud::Cloud;
use coterm_tests::process::{Process, Said, program, run};
use coterm_tests::tidy::repository;
use coterm_tests::wait::{eventually, holds};
use std::process::Command;

/// The programs whose commands are tried.
const PROGRAMS: [&str; 3] = ["coterm", "coterm-agent", "coterm-cloud"];

/// Every command line of our programs in a fenced block of the README, split into words.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let mut fenced = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let words = words(line);
            if words.first().is_some_and(|first| PROGRAMS.contains(&first.as_str())) {
                found.push(words);
            }
        }
    }
    found
}

/// A command line as a shell would split it, up to a comment, a redirection or the next command.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    let mut open = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                if quoted && !open {
                    words.push(String::new());
                    open = true;
                }
            }
            ' ' if !quoted => open = false,
            '#' | '>' | '&' | '|' if !quoted && !open => break,
            c => {
                if !open {
                    words.push(String::new());
                    open = true;
                }
                words.last_mut().unwrap().push(c);
            }
        }
    }
    words
}

#[test]
fn a_command_line_is_split_as_a_shell_would() {
    let split = words("coterm org create \"Northwind Logistics\" --yes   # a comment");
    assert_eq!(split, ["coterm", "org", "create", "Northwind Logistics", "--yes"]);
    assert_eq!(words("coterm-agent allows manage && echo \"x\""), ["coterm-agent", "allows", "manage"]);
}

#[test]
fn the_readme_can_be_followed_to_the_letter() {
    let cloud = Cloud::start();
    let start = |words: &[String], more: &[&str]| {
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).args(more).current_dir(cloud.dir()).env_clear();
        command
            .env("COTERM_SERVER", cloud.url())
            .env("COTERM_TOKEN_FILE", cloud.data_dir().join("admin.token"));
        command
    };
    let mut agent: Option<Process> = None;
    let mut code = String::from("KEY-CODE");
    let mut tried = 0;
    for mut words in commands() {
        for word in &mut words {
            // The one thing the README cannot know.
            *word = word.replace("KEY-CODE", &code);
        }
        let line = words.join(" ");
        let works = |said: &Said| assert_eq!(said.code, 0, "{line}: {}{}", said.stdout, said.stderr);
        match (words[0].as_str(), words[1].as_str()) {
            // It is running already, on an address of its own; that the arguments are understood is what is left.
            ("coterm-cloud", verb) => {
                let said = run(start(&[words[0].clone(), verb.to_owned()], &["--help"]));
                works(&said);
                for flag in words.iter().filter(|word| word.starts_with("--")) {
                    assert!(said.stdout.contains(flag.as_str()), "{line}: there is no {flag}");
                }
            }
            ("coterm-agent", "run") => {
                agent = Some(Process::start("agent", start(&words, &[]), &cloud.dir().join("agent.log")));
                let state = cloud.dir().join("cam-1/run/state.json");
                eventually("the README's device to be licensed", || {
                    let text = std::fs::read_to_string(&state).map_err(|error| error.to_string())?;
                    let state: PublicState =
                        serde_json::from_str(&text).map_err(|error| error.to_string())?;
                    holds(state.mode == OperatingMode::Full, state)
                });
            }
            ("coterm-agent", "check") => assert_ne!(run(start(&words, &[])).code, 2, "{line}"),
            _ => {
                let said = run(start(&words, &[]));
                // A person is shown a preview and asked; nobody is here to answer.
                let said = if said.code == 8 { run(start(&words, &["--yes"])) } else { said };
                works(&said);
                if words.iter().take(3).eq(&["coterm", "key", "issue"]) {
                    let named = said.stdout.lines().find_map(|line| line.strip_prefix("CODE"));
                    named.expect("the code is shown").trim().clone_into(&mut code);
                }
            }
        }
        tried += 1;
    }
    assert!(tried >= 10 && agent.is_some(), "the README shows {tried} commands");
}
