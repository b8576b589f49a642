//! The actuator that only says what it would do.

use super::{Actuator, ActuatorError, Observation, Order};

/// Logs every order once and remembers it.
#[derive(Debug, Default)]
pub(crate) struct DryRun {
    at: Option<Order>,
}

impl Actuator for DryRun {
    fn name(&self) -> &str {
        "dry-run"
    }

    fn observe(&mut self) -> Result<Observation, ActuatorError> {
        Ok(self.at.as_ref().map_or(Observation::Unknown, |order| Observation::At(order.mode)))
    }

    fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
        tracing::info!(mode = order.mode.name(), "dry run: the device would be set to this mode");
        self.at = Some(order.clone());
        Ok(())
    }
}
