//! What the cloud hears, kept to be asked about.

use super::client::PATIENCE;
use crate::ports::{Inbox, Incoming};
use coterm_shared::id::DeviceId;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// How much is remembered; the oldest goes first.
const REMEMBERED_MAX: usize = 100_000;

/// An inbox that remembers.
#[derive(Debug, Default)]
pub struct Ear {
    heard: Mutex<VecDeque<(DeviceId, Incoming)>>,
    changed: Notify,
}

impl Inbox for Ear {
    fn deliver(&self, device: DeviceId, incoming: Incoming) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= REMEMBERED_MAX {
            heard.pop_front();
        }
        heard.push_back((device, incoming));
        drop(heard);
        self.changed.notify_one();
    }
}

impl Ear {
    /// How many of what was heard are like this.
    pub fn count(&self, like: impl Fn(&DeviceId, &Incoming) -> bool) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|(device, incoming)| like(device, incoming)).count()
    }

    /// Everything heard, in its order.
    #[must_use]
    pub fn all(&self) -> Vec<(DeviceId, Incoming)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Waits until something like this was heard.
    ///
    /// # Errors
    /// It was not, for [`PATIENCE`]; the sentence says what.
    pub async fn until(&self, what: &str, like: impl Fn(&DeviceId, &Incoming) -> bool) -> Result<(), String> {
        let heard = async {
            while self.count(&like) == 0 {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.map_err(|_| format!("the cloud did not hear {what}"))
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
