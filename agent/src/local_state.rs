//! The public state file: what the device's own programs may know, without asking anyone.
//!
//! `run_dir/state.json`, readable by all, replaced by rename so that nobody reads half of one. Its content and the
//! answers drawn from it are `coterm_shared::enforcement::PublicState`. **Deliberately absent:** durability; it is
//! written again when the agent starts.

use crate::files::{self, FileError};
use coterm_shared::enforcement::PublicState;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Held by the running agent.
pub(crate) const LOCK_NAME: &str = "agent.lock";
const LINK_NAME: &str = "agent.json";
/// Its name in the run directory.
pub(crate) const FILE_NAME: &str = "state.json";

/// Replaces the file.
pub(crate) fn write(run_dir: &Path, state: &PublicState) -> Result<(), FileError> {
    let path = run_dir.join(FILE_NAME);
    let mut json = serde_json::to_vec_pretty(state)
        .map_err(|error| FileError::Io { path: path.clone(), error: error.into() })?;
    json.push(b'\n');
    files::replace(&path, &json, 0o644)
}

/// Reads the file; `None` if there is none, or it is not one.
pub(crate) fn read(run_dir: &Path) -> Option<PublicState> {
    let bytes = files::read(&run_dir.join(FILE_NAME)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What the running agent says of itself, for `status`: `run_dir/agent.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkState {
    /// Whether a session with the broker lives.
    pub connected: bool,
    /// Which broker, as HOST:PORT.
    pub broker: String,
    /// Why it is not connected; empty if it is.
    pub message: String,
    /// Which actuators do not obey, and why.
    pub faults: Vec<String>,
}

/// Replaces what the agent says of itself.
pub(crate) fn write_link(run_dir: &Path, link: &LinkState) -> Result<(), FileError> {
    let path = run_dir.join(LINK_NAME);
    let json = serde_json::to_vec(link)
        .map_err(|error| FileError::Io { path: path.clone(), error: error.into() })?;
    files::replace(&path, &json, 0o644)
}

/// What the agent last said of itself.
pub(crate) fn read_link(run_dir: &Path) -> Option<LinkState> {
    serde_json::from_slice(&files::read(&run_dir.join(LINK_NAME)).ok()?).ok()
}
