//! One file per noun: its verbs, the request each makes and the columns it prints.

pub(crate) mod access;
pub(crate) mod ahead;
pub(crate) mod calc;
pub(crate) mod calendar;
pub(crate) mod device;
pub(crate) mod enrol;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod group;
pub(crate) mod held;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod notice;
pub(crate) mod org;
pub(crate) mod platform;
pub(crate) mod site;
pub(crate) mod time;
pub(crate) mod token;

mod prelude {
    pub(super) use super::ahead::AtArgs;
    pub(super) use crate::change::{Ask, Change, ChangeArgs};
    pub(super) use crate::client::Answer;
    pub(super) use crate::context::{Context, part, text};
    pub(super) use crate::failure::{Exit, Failure};
    pub(super) use crate::output::{self, Column, OutputArgs, PageArgs};
    pub(super) use clap::{Args, Subcommand};
    pub(super) use serde_json::{Value, json};
    pub(super) use ureq::http::Method;

    /// Prints what a change answered; nothing if it was only previewed.
    pub(super) fn show(
        answer: Option<Answer>,
        output: OutputArgs,
        columns: &[Column],
    ) -> Result<(), Failure> {
        match answer {
            Some(Answer { body, .. }) if !body.is_null() => output::one(output, columns, &body),
            // The server has nothing to show of what is gone.
            Some(_) => {
                output::note("Done.");
                Ok(())
            }
            None => Ok(()),
        }
    }
}
