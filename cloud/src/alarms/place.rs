//! Where an alarm stands in the list: what a page goes on from, while alarms come and go.

use super::{Alarm, AlarmCode, Severity};
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// Where an alarm stands in the list: by severity, code and subject, whatever else comes and goes. As text it is
/// `severity/code/subject`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    severity: Reverse<Severity>,
    code: &'static str,
    subject: String,
}

impl Place {
    /// The place of an alarm.
    #[must_use]
    pub fn of(alarm: &Alarm) -> Place {
        Place { severity: Reverse(alarm.severity), code: alarm.code.name(), subject: alarm.subject.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.severity.0.name(), self.code, self.subject)
    }
}

/// A text that is no place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the list of alarms")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Place, NoPlace> {
        let (severity, rest) = text.split_once('/').ok_or(NoPlace)?;
        let (code, subject) = rest.split_once('/').ok_or(NoPlace)?;
        let severities = [Severity::Critical, Severity::Warning];
        let severity = severities.into_iter().find(|known| known.name() == severity).ok_or(NoPlace)?;
        let code = AlarmCode::ALL.iter().find(|known| known.name() == code).ok_or(NoPlace)?;
        Ok(Place { severity: Reverse(severity), code: code.name(), subject: subject.to_owned() })
    }
}
