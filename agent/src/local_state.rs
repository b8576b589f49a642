//! The public state file: what the device's own programs may know.
pub(crate) const FILE_NAME: &str = "state.json";
