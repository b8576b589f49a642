//! The driver over a memory that fails and a device that obeys.

mod crashes;
mod messages;
mod roots;
mod time;
mod world;
