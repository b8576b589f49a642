//! The books, tested as their users see them: every test names the rule it holds to.

mod histories;
mod ladder;
mod refusals;
mod rules;
mod world;
