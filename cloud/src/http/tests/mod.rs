//! The interface in process: real books on a real file, requests through every layer.

mod access;
mod along;
mod at_once;
mod bad_input;
mod calendar;
mod changes;
mod enrolment;
mod forecast;
mod imports;
mod keys;
mod notices;
mod openapi;
mod places;
mod refusals;
mod roles;
mod safety;
mod shown;
mod sides;
mod walk;
mod worked;
mod world;
