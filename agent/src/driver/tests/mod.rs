//! The driver over a memory that fails and a device that obeys.

mod crashes;
mod life_safety;
mod messages;
mod power;
mod roots;
mod time;
mod world;
