//! At which time certificates are made and judged.
//!
//! **Problem.** A certificate made by a clock far ahead begins in that future, and one judged by it is replaced while it is
//! good. **Method.** Whoever opens the PKI says what time is believed, and whether that is in doubt; asked anew for every
//! certificate. **Deliberately absent:** a clock. Nothing here reads that of the machine.

use coterm_shared::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// The time certificates are made and judged at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It is believed.
    Sure(Timestamp),
    /// It is the best guess while the clock is in doubt: what can wait is not made or renewed by it.
    Doubted(Timestamp),
}

impl Time {
    /// The instant, in doubt or not.
    #[must_use]
    pub fn at(self) -> Timestamp {
        match self {
            Time::Sure(at) | Time::Doubted(at) => at,
        }
    }
}

/// Where the time comes from.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> Time + Send + Sync>);

impl Source {
    pub(crate) fn new(time: impl Fn() -> Time + Send + Sync + 'static) -> Source {
        Source(Arc::new(time))
    }

    pub(crate) fn time(&self) -> Time {
        (self.0)()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.time().at()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.time())
    }
}
