//! The books, tested as their users see them: every test names the rule it holds to.

mod access;
mod asked;
mod bounds;
mod calendar;
mod carried;
mod coverage;
mod doors;
mod enrolment;
mod evasions;
mod evasions_of_credit;
mod evasions_of_time;
mod explain;
mod figures;
mod histories;
mod histories_of_places;
mod invariants;
mod keys;
mod ladder;
mod moves;
mod notices;
mod outlook;
mod paper;
mod preview;
mod refusals;
mod rules;
mod sides;
pub(super) mod world;
