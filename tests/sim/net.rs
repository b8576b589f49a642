//! The broker: who is connected, and what it keeps for those who are not.

use coterm_shared::protocol::Topic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A broker that keeps what it is told to keep, and serves whoever has a session.
#[derive(Debug, Default)]
pub struct Hub {
    /// Messages kept, by topic.
    pub retained: BTreeMap<String, (Topic, Arc<[u8]>)>,
    /// Sessions ever begun.
    pub sessions: u64,
    /// Sessions are ended right after they began, until then.
    pub kicks_until: u64,
    /// Subscriptions take their time until then.
    pub slow_until: u64,
    /// Until then a publish may hang that began before.
    pub hung_until: u64,
}

impl Hub {
    /// Keeps a message instead of the one before.
    pub fn keep(&mut self, topic: &Topic, payload: &Arc<[u8]>) {
        self.retained.insert(topic.to_string(), (topic.clone(), Arc::clone(payload)));
    }

    /// What it keeps under a topic.
    pub fn kept(&self, topic: &Topic) -> Option<Arc<[u8]>> {
        self.retained.get(&topic.to_string()).map(|(_, payload)| Arc::clone(payload))
    }
}
