//! The change feed: which organizations, groups and devices changed since the subscriber last asked.
//!
//! Level-triggered: a set, not a queue. Touching the same thing twice is one entry; an organization with too many
//! entries becomes "everything in it". A slow subscriber loses no change and costs bounded memory.

use coterm_shared::id::{DeviceId, GroupId, OrganizationId};
use coterm_shared::licensing::Touched;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// Entries kept per organization before they become [`Touch::Everything`].
const MAX_ENTRIES: usize = 1024;

/// What changed in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touch {
    /// These groups and devices.
    Some {
        /// Groups whose devices may want another state.
        groups: BTreeSet<GroupId>,
        /// Single devices that may want another state.
        devices: BTreeSet<DeviceId>,
    },
    /// Look at all of it.
    Everything,
}

impl Touch {
    fn merge(&mut self, more: Touch) {
        match (&mut *self, more) {
            (Touch::Everything, _) => {}
            (Touch::Some { .. }, Touch::Everything) => *self = Touch::Everything,
            (Touch::Some { groups, devices }, Touch::Some { groups: more_groups, devices: more_devices }) => {
                groups.extend(more_groups);
                devices.extend(more_devices);
                if groups.len().saturating_add(devices.len()) > MAX_ENTRIES {
                    *self = Touch::Everything;
                }
            }
        }
    }
}

impl From<Touched> for Touch {
    fn from(touched: Touched) -> Touch {
        if touched.everything || touched.groups.len().saturating_add(touched.devices.len()) > MAX_ENTRIES {
            return Touch::Everything;
        }
        Touch::Some { groups: touched.groups, devices: touched.devices }
    }
}

/// What changed, by organization.
pub type Touches = BTreeMap<OrganizationId, Touch>;

#[derive(Debug, Default)]
struct Pending {
    touches: Mutex<Touches>,
    wake: Notify,
}

/// A subscription to what changes.
#[derive(Debug)]
pub struct Feed {
    pending: Arc<Pending>,
}

impl Feed {
    /// What changed since the last call; waits until something did. Dropped while waiting, nothing is lost.
    pub async fn changed(&mut self) -> Touches {
        loop {
            let touches = self.take();
            if !touches.is_empty() {
                return touches;
            }
            // A permit is kept if the writer notifies between the look and the wait.
            self.pending.wake.notified().await;
        }
    }

    /// What changed since the last call, maybe nothing.
    #[must_use]
    pub fn take(&mut self) -> Touches {
        std::mem::take(&mut *self.pending.touches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<Vec<Weak<Pending>>>);

impl Feeds {
    pub(super) fn subscribe(&self) -> Feed {
        let pending = Arc::new(Pending::default());
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(&pending));
        Feed { pending }
    }

    pub(super) fn publish(&self, touches: &Touches) {
        if touches.is_empty() {
            return;
        }
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for pending in feeds.iter().filter_map(Weak::upgrade) {
            let mut kept = pending.touches.lock().unwrap_or_else(PoisonError::into_inner);
            merge(&mut kept, touches.clone());
            drop(kept);
            pending.wake.notify_one();
        }
    }
}

/// Adds touches to others.
pub(super) fn merge(into: &mut Touches, more: impl IntoIterator<Item = (OrganizationId, Touch)>) {
    for (id, touch) in more {
        match into.entry(id) {
            Entry::Vacant(none) => drop(none.insert(touch)),
            Entry::Occupied(mut some) => some.get_mut().merge(touch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(devices: impl IntoIterator<Item = usize>) -> Touches {
        let devices = devices.into_iter().map(|n| format!("cam-{n}").parse().unwrap()).collect();
        let id = OrganizationId::from_bytes([1; 16]);
        Touches::from([(id, Touch::Some { groups: BTreeSet::new(), devices })])
    }

    #[tokio::test]
    async fn a_slow_subscriber_gets_each_thing_once_and_too_many_become_everything() {
        let feeds = Feeds::default();
        let mut feed = feeds.subscribe();
        feeds.publish(&touch([1, 2]));
        feeds.publish(&touch([2, 3]));
        assert_eq!(feed.changed().await, touch([1, 2, 3]));
        assert!(feed.take().is_empty());

        for n in 0..=MAX_ENTRIES {
            feeds.publish(&touch([n]));
        }
        let all = feed.changed().await;
        assert_eq!(all.into_values().collect::<Vec<_>>(), [Touch::Everything]);
    }

    #[tokio::test]
    async fn a_change_between_look_and_wait_is_not_missed() {
        let feeds = Arc::new(Feeds::default());
        let mut feed = feeds.subscribe();
        let publisher = feeds.clone();
        let waiting = tokio::spawn(async move { feed.changed().await });
        tokio::task::yield_now().await;
        publisher.publish(&touch([7]));
        assert_eq!(waiting.await.unwrap(), touch([7]));
    }
}
