//! What an operator has to know before it hurts: one list of alarms for the whole daemon.
//!
//! **Problem.** A key that ends in three weeks, a root key that lies beside the daemon, a card reader that was pulled: each
//! is harmless today and an outage later, and a line in a log is read by nobody. **Method.** One registry of stable codes
//! with severity and what to do ([`AlarmCode`]); whoever sees a condition raises its alarm as often as it likes and clears
//! it when it is over. Only a change is logged. **Deliberately absent:** history and acknowledgement. An alarm stands as
//! long as its cause does, and after a restart whoever sees the cause raises it again.

mod code;
mod place;

pub use code::{AlarmCode, Severity};
pub use place::{NoPlace, Place};

use coterm_shared::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most alarms that stand at once; what comes on top is logged and not listed.
pub const MAX_ALARMS: usize = 1_000;

/// One alarm that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Which.
    pub code: AlarmCode,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a key, a file, an organization; empty for the daemon as a whole.
    pub subject: String,
    /// Since when it stands.
    pub since: Timestamp,
    /// What is the case, one sentence.
    pub sentence: String,
    /// What to do.
    pub hint: &'static str,
}

/// A condition that somebody sees now; the registry adds since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which alarm it raises.
    pub code: AlarmCode,
    /// What it is about.
    pub subject: String,
    /// What is the case, one sentence.
    pub sentence: String,
}

impl Condition {
    /// A condition about `subject`.
    #[must_use]
    pub fn new(code: AlarmCode, subject: impl Into<String>, sentence: impl Into<String>) -> Condition {
        Condition { code, subject: subject.into(), sentence: sentence.into() }
    }
}

/// What raising or clearing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The alarm stands anew.
    Raised(Alarm),
    /// It stands no longer.
    Cleared(Alarm),
    /// There are too many: this one is not listed.
    Dropped(Condition),
}

/// The alarms that stand; pure, so that every rule of it is a test.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    standing: BTreeMap<(AlarmCode, String), Alarm>,
    /// What was said of those that found no place: the same again is no news. As bounded as what stands.
    dropped: BTreeSet<(AlarmCode, String)>,
}

impl Registry {
    /// Raises an alarm; one that stands already keeps its `since` and takes the new sentence without being news.
    pub fn raise(&mut self, condition: Condition, now: Timestamp) -> Option<Change> {
        let Condition { code, subject, sentence } = condition;
        if let Some(alarm) = self.standing.get_mut(&(code, subject.clone())) {
            alarm.sentence = sentence;
            return None;
        }
        if self.standing.len() >= MAX_ALARMS {
            let known = (code, subject.clone());
            let news = self.dropped.len() < MAX_ALARMS && self.dropped.insert(known);
            return news.then_some(Change::Dropped(Condition { code, subject, sentence }));
        }
        self.dropped.remove(&(code, subject.clone()));
        let (severity, hint) = (code.severity(), code.hint());
        let alarm = Alarm { code, severity, subject: subject.clone(), since: now, sentence, hint };
        self.standing.insert((code, subject), alarm.clone());
        Some(Change::Raised(alarm))
    }

    /// Clears an alarm; nothing happens if it does not stand.
    pub fn clear(&mut self, code: AlarmCode, subject: &str) -> Option<Change> {
        let key = (code, subject.to_owned());
        self.dropped.remove(&key);
        self.standing.remove(&key).map(Change::Cleared)
    }

    /// Of these codes exactly these conditions stand now: raises what is new and clears the rest.
    pub fn settle(&mut self, codes: &[AlarmCode], conditions: Vec<Condition>, now: Timestamp) -> Vec<Change> {
        let is_over = |(code, subject): &(AlarmCode, String)| {
            codes.contains(code) && !conditions.iter().any(|c| c.code == *code && c.subject == *subject)
        };
        self.dropped.retain(|key| !is_over(key));
        let over: Vec<(AlarmCode, String)> =
            self.standing.keys().filter(|key| is_over(key)).cloned().collect();
        let mut changes: Vec<Change> =
            over.into_iter().filter_map(|(code, subject)| self.clear(code, &subject)).collect();
        changes.extend(conditions.into_iter().filter_map(|condition| self.raise(condition, now)));
        changes
    }

    /// What stands, the worst first, then by code and subject.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = self.standing.values().cloned().collect();
        alarms.sort_by_cached_key(Place::of);
        alarms
    }
}

/// The daemon's registry: shared, and each change of it is a line in the log.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<Registry>);

impl Alarms {
    /// Raises an alarm, as often as its cause is seen.
    pub fn raise(&self, condition: Condition, now: Timestamp) {
        let change = self.lock().raise(condition, now);
        change.iter().for_each(log);
    }

    /// Clears an alarm, as often as its cause is seen to be over.
    pub fn clear(&self, code: AlarmCode, subject: &str) {
        let change = self.lock().clear(code, subject);
        change.iter().for_each(log);
    }

    /// Of these codes exactly these conditions stand now.
    pub fn settle(&self, codes: &[AlarmCode], conditions: Vec<Condition>, now: Timestamp) {
        let changes = self.lock().settle(codes, conditions, now);
        changes.iter().for_each(log);
    }

    /// What stands, the worst first.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        self.lock().list()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(change: &Change) {
    match change {
        Change::Raised(Alarm { code, severity, subject, sentence, hint, .. }) => match severity {
            Severity::Critical => tracing::error!(%code, subject, "ALARM: {sentence}; {hint}"),
            Severity::Warning => tracing::warn!(%code, subject, "alarm: {sentence}; {hint}"),
        },
        Change::Cleared(Alarm { code, subject, .. }) => tracing::info!(%code, subject, "the alarm is over"),
        Change::Dropped(Condition { code, subject, sentence }) => {
            tracing::error!(%code, subject, "more than {MAX_ALARMS} alarms stand; not listed: {sentence}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs).unwrap()
    }

    fn key_ends(subject: &str, sentence: &str) -> Condition {
        Condition::new(AlarmCode::TokenKeyEnds, subject, sentence)
    }

    #[test]
    fn raising_and_clearing_twice_is_once_and_since_is_when_it_began() {
        let mut registry = Registry::default();
        assert!(matches!(registry.raise(key_ends("a", "in 3 days"), at(0)), Some(Change::Raised(_))));
        assert_eq!(registry.raise(key_ends("a", "in 2 days"), at(9)), None);
        let [alarm] = registry.list().try_into().unwrap();
        assert_eq!((alarm.since, alarm.sentence.as_str()), (at(0), "in 2 days"));
        assert!(matches!(registry.clear(alarm.code, "a"), Some(Change::Cleared(_))));
        assert_eq!(registry.clear(alarm.code, "a"), None);
        assert!(registry.list().is_empty());
    }

    #[test]
    fn settling_leaves_exactly_what_is_seen_and_other_codes_alone() {
        let mut registry = Registry::default();
        registry.raise(Condition::new(AlarmCode::RootKeyOnline, "root.key", "it lies here"), at(0));
        let codes = [AlarmCode::TokenKeyEnds];
        assert_eq!(registry.settle(&codes, vec![key_ends("a", "x"), key_ends("b", "x")], at(1)).len(), 2);
        assert_eq!(registry.settle(&codes, vec![key_ends("b", "x")], at(2)).len(), 1);
        let left: Vec<_> = registry.list().into_iter().map(|alarm| (alarm.code, alarm.subject)).collect();
        assert!(left.contains(&(AlarmCode::RootKeyOnline, "root.key".into())) && left.len() == 2, "{left:?}");
    }

    #[test]
    fn the_worst_comes_first_and_there_is_an_end_to_it() {
        let mut registry = Registry::default();
        registry.raise(Condition::new(AlarmCode::RootKeyOnline, "", "warning"), at(0));
        for n in 1..MAX_ALARMS {
            registry.raise(Condition::new(AlarmCode::SignerUnavailable, n.to_string(), "critical"), at(0));
        }
        assert!(matches!(registry.raise(key_ends("one more", "x"), at(1)), Some(Change::Dropped(_))));
        assert_eq!(registry.raise(key_ends("one more", "x"), at(2)), None, "it is said once");
        assert_eq!(registry.clear(AlarmCode::TokenKeyEnds, "one more"), None);
        assert!(matches!(registry.raise(key_ends("one more", "x"), at(3)), Some(Change::Dropped(_))));
        registry.settle(&[AlarmCode::TokenKeyEnds], vec![key_ends("one more", "x")], at(4));
        assert_eq!(registry.raise(key_ends("one more", "x"), at(5)), None, "it is not over");
        let list = registry.list();
        assert_eq!(list.len(), MAX_ALARMS);
        assert_eq!(list.first().unwrap().severity, Severity::Critical);
        assert_eq!(list.last().unwrap().severity, Severity::Warning);
        // Where there is room again it stands, and is news.
        registry.clear(AlarmCode::SignerUnavailable, "1");
        assert!(matches!(registry.raise(key_ends("one more", "x"), at(6)), Some(Change::Raised(_))));
    }

    #[test]
    fn a_place_in_the_list_is_read_back_and_others_that_come_and_go_do_not_move_it() {
        let mut registry = Registry::default();
        for (code, subject) in [
            (AlarmCode::SignerUnavailable, "b/1"),
            (AlarmCode::RootKeyOnline, ""),
            (AlarmCode::SignerUnavailable, "a"),
        ] {
            registry.raise(Condition::new(code, subject, "x"), at(0));
        }
        let places: Vec<Place> = registry.list().iter().map(Place::of).collect();
        assert!(places.is_sorted());
        for place in &places {
            assert_eq!(place.to_string().parse().as_ref(), Ok(place));
        }
        registry.raise(Condition::new(AlarmCode::SignerUnavailable, "0", "x"), at(1));
        registry.clear(AlarmCode::SignerUnavailable, "a");
        let [_, second, _] = places.try_into().unwrap();
        let after: Vec<_> = registry.list().into_iter().filter(|alarm| Place::of(alarm) > second).collect();
        assert_eq!(after.len(), 1, "neither repeated nor skipped: {after:?}");
        for bad in ["", "3", "critical", "critical/NOPE/", "mild/ROOT_KEY_ONLINE/"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
    }
}
