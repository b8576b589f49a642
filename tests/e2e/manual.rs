//! The manual pages of every program, as `make man` makes them.

use coterm_tests::process::{program, run};
use std::process::Command;
use std::{fs, path::Path};

/// How many commands `--help` of a program names, itself and `help` included.
fn commands(name: &str) -> usize {
    let mut command = Command::new(program(name));
    let help = run({
        command.arg("--help");
        command
    });
    let listed = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .count()
}

#[test]
fn every_program_writes_a_page_for_every_command_with_exit_status_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    for (name, last_status) in [("coterm", 8), ("coterm-cloud", 5), ("coterm-agent", 3)] {
        let out = dir.path().join(name).join("man1");
        let mut command = Command::new(program(name));
        command.args(["man", "--out"]).arg(&out);
        let said = run(command);
        assert_eq!(said.code, 0, "{said:?}");
        let pages: Vec<&Path> = said.stdout.lines().map(Path::new).collect();
        assert!(pages.len() >= commands(name), "{name}: {pages:?}");
        for page in pages {
            let text = fs::read_to_string(page).unwrap();
            for part in ["NAME", "SYNOPSIS", "\"EXIT STATUS\"", "ENVIRONMENT"] {
                assert!(text.contains(&format!(".SH {part}")), "{}: {part}", page.display());
            }
            assert!(text.contains(&format!("\\fB{last_status}\\fR")), "{}", page.display());
        }
    }
}
