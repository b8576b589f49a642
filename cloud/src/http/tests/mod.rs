//! The interface in process: real books on a real file, requests through every layer.

mod bad_input;
mod changes;
mod keys;
mod places;
mod refusals;
mod roles;
mod sides;
mod walk;
mod worked;
mod world;
