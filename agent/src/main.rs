//! `coterm-agent`: receives license-state tokens, verifies them, and enforces them. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    coterm_agent::main()
}
