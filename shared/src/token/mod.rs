//! The license-state token: what the cloud signs and the agent believes.
