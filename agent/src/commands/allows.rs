//! `coterm-agent allows`: may the device's programs do this, now?
//!
//! Answered from the public state file and the boot clock alone, so it works with the agent dead; the rule is
//! `coterm_shared::enforcement::answer`.

use super::print_json;
use crate::cli::{ConfigSource, Output, What};
use crate::clock::{Clock, SystemClock};
use crate::{CONFIG, DONE, FAILED, local_state};
use coterm_shared::enforcement::{Answer, Ask, Basis, answer};
use std::path::PathBuf;

pub(crate) fn allows(
    source: &ConfigSource,
    what: What,
    output: Option<Output>,
    run_dir: Option<PathBuf>,
) -> u8 {
    let (run_dir, demonstration) = match run_dir {
        Some(run_dir) => (run_dir, None),
        None => match crate::load(source) {
            Ok(config) => (config.run_dir, config.demonstration),
            Err(errors) => {
                eprintln!("{errors}");
                return CONFIG;
            }
        },
    };
    let ask = match what {
        What::Manage => Ask::Manage,
        What::Operate => Ask::Operate,
    };
    let answer = match SystemClock::new(demonstration.as_ref()).reading() {
        Ok(now) => answer(local_state::read(&run_dir).as_ref(), &now, ask),
        // Without a boot clock nothing newer than the file is known, and the file may be of any age.
        Err(_) => Answer { allowed: ask == Ask::Operate, basis: Basis::Nothing },
    };
    let printed = match output {
        Some(Output::Json) => print_json(&answer),
        Some(Output::Table) => super::print(&sentence(answer)),
        None => {
            if answer.basis == Basis::Nothing {
                eprintln!("{} holds no state of this device: start coterm-agent", run_dir.display());
            }
            DONE
        }
    };
    if answer.allowed && printed == DONE { DONE } else { FAILED }
}

fn sentence(answer: Answer) -> String {
    let basis = match answer.basis {
        Basis::Schedule => "by the stored schedule",
        Basis::Stale => "the stored state is too old; start coterm-agent",
        Basis::Nothing => "there is no stored state; start coterm-agent",
    };
    format!("{} ({basis})\n", if answer.allowed { "yes" } else { "no" })
}
