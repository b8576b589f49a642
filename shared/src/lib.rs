//! Every rule of license groups and of their enforcement on the device, and nothing else.
//!
//! **Problem.** Two daemons that never share memory, `coterm-cloud` and `coterm-agent`, must agree to the second about
//! who is licensed until when. **Method.** All rules live here as pure functions over plain data; time and ids are
//! arguments. **Deliberately absent:** clocks, files, sockets, randomness, logging. The crate is `no_std`, so most of
//! them cannot even be named.

#![no_std]
#![cfg_attr(test, allow(missing_docs))]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
mod event_names;

pub mod enforcement;
pub mod enrolment;
pub mod finding;
pub mod id;
pub mod licensing;
pub mod platform;
pub mod product;
pub mod protocol;
pub mod time;
pub mod timers;
pub mod token;
