mod actuator;
mod clock;
mod config;
mod driver;
mod files;
mod local_state;
mod mqtt;
mod state_file;
fn main() {}
