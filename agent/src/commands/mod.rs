//! The commands besides `run`: they read, and change nothing; but for `enroll`.

mod allows;
pub(crate) mod certificate;
mod check;
mod enroll;
#[cfg(feature = "man")]
mod man;
mod status;
mod verify_token;

pub(crate) use allows::allows;
pub(crate) use check::check;
pub(crate) use enroll::enroll;
#[cfg(feature = "man")]
pub(crate) use man::man;
pub(crate) use status::status;
pub(crate) use verify_token::verify_token;

use crate::{DONE, FAILED};
use serde::Serialize;
use std::io::Write;

/// Prints a text; a closed pipe is no success.
pub(crate) fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => DONE,
        Err(_) => FAILED,
    }
}

/// Prints a value as JSON.
fn print_json(value: &impl Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(_) => FAILED,
    }
}
