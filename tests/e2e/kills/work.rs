//! Changes under way while programs are killed, and what was acknowledged of them.

use super::Chance;
use coterm_shared::enforcement::OperatingMode;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::wait::PATIENCE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two changes of one writer: the books are to be written all the time, and not to be filled.
const PAUSE: Duration = Duration::from_millis(60);

/// Milliseconds since 1970, as sequences count them.
fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the end")
}

/// Asks under this key until there is an answer; what was answered, and how often there was none.
fn ask(tenant: &Tenant, method: &str, path: &str, body: Option<&Value>, key: &str) -> (u16, Value, u64) {
    let deadline = Instant::now() + PATIENCE;
    let mut unanswered = 0;
    loop {
        let (status, answer) = tenant.operator.request(method, path, body, &[("idempotency-key", key)]);
        match status {
            // No answer, one cut short, or a daemon that is just ending.
            0 | 503 => unanswered += 1,
            _ => return (status, answer, unanswered),
        }
        assert!(Instant::now() < deadline, "{method} {path}: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The sites that were asked for, and their answers.
pub(super) struct Books {
    tenant: Tenant,
    round: Mutex<BTreeMap<String, String>>,
    all: Mutex<BTreeMap<String, String>>,
    asked_again: AtomicU64,
}

impl Books {
    pub(super) fn of(tenant: &Tenant) -> Books {
        Books {
            tenant: tenant.clone(),
            round: Mutex::default(),
            all: Mutex::default(),
            asked_again: AtomicU64::new(0),
        }
    }

    /// Creates sites until the end, each asked for until it is acknowledged.
    pub(super) fn write(&self, prefix: &str, end: &AtomicBool) {
        let path = format!("/organizations/{}/sites", self.tenant.id);
        for n in 0.. {
            if end.load(Ordering::SeqCst) {
                return;
            }
            let name = format!("{prefix}-{n}");
            let body = json!({ "name": name });
            let (status, answer, unanswered) =
                ask(&self.tenant, "POST", &path, Some(&body), &format!("key-of-{name}"));
            // Had it happened twice, or once without its key, the name would be taken.
            assert_eq!(status, 201, "{name}: {answer}");
            self.asked_again.fetch_add(u64::from(unanswered > 0), Ordering::Relaxed);
            let id = answer["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned();
            self.round.lock().expect("one at a time").insert(name, id);
            std::thread::sleep(PAUSE);
        }
    }

    /// Every site acknowledged in this round is there, by the id that was answered.
    pub(super) fn look_at_the_last_round(&self) {
        let round = std::mem::take(&mut *self.round.lock().expect("one at a time"));
        for (name, id) in &round {
            let shown = self.tenant.operator.get(&format!("/organizations/{}/sites/{id}", self.tenant.id));
            assert_eq!(shown["name"], *name, "{shown}");
        }
        self.all.lock().expect("one at a time").extend(round);
    }

    /// Every site that was ever acknowledged is there once, none that was not asked for is, and the chain of the log holds.
    pub(super) fn look_at_everything(&self) {
        let expected = self.all.lock().expect("one at a time");
        let mut found = BTreeMap::new();
        for site in self.tenant.json(&["site", "list"])["items"].as_array().expect("a list") {
            let text = |field: &str| site[field].as_str().unwrap_or_default().to_owned();
            if text("name").starts_with("s-") {
                assert_eq!(found.insert(text("name"), text("id")), None, "{site} is there twice");
            }
        }
        assert_eq!(found, *expected);
        let path = format!("/organizations/{}/transactions/verify", self.tenant.id);
        let verified = self.tenant.operator.get(&path);
        assert_eq!(verified["intact"], true, "{verified}");
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.all.lock().expect("one at a time").len()
    }

    pub(super) fn asked_again(&self) -> u64 {
        self.asked_again.load(Ordering::Relaxed)
    }
}

/// From when to when it is open what the books order, and what they order after it.
struct Change {
    asked: u64,
    answered: u64,
    over: bool,
}

/// Somebody who claims a device too many and retires it again.
pub(super) struct Capacity {
    tenant: Tenant,
    site: String,
    began: u64,
    changes: Vec<Change>,
    asked_again: u64,
}

impl Capacity {
    pub(super) fn new(tenant: &Tenant) -> Capacity {
        let sites = tenant.json(&["site", "list"]);
        let north = sites["items"].as_array().expect("a list").iter().find(|site| site["name"] == "North");
        let site = north.expect("it is there")["id"].as_str().expect("an id").to_owned();
        Capacity { tenant: tenant.clone(), site, began: millis(), changes: Vec::new(), asked_again: 0 }
    }

    fn over(&self) -> bool {
        self.changes.last().is_some_and(|change| change.over)
    }

    /// One change after the other until the end.
    pub(super) fn change(&mut self, chance: &mut Chance, end: &AtomicBool) {
        while !end.load(Ordering::SeqCst) {
            chance.pause(500);
            let n = self.changes.len();
            let spare = format!("spare-{}", n / 2);
            let over = !self.over();
            let devices = format!("/organizations/{}/devices", self.tenant.id);
            let (path, body) = if over {
                (devices, Some(json!({ "id": spare, "site": self.site, "model": CAMERA })))
            } else {
                (format!("{devices}/{spare}/retire"), None)
            };
            let asked = millis();
            let (status, answer, unanswered) =
                ask(&self.tenant, "POST", &path, body.as_ref(), &format!("capacity-{n}"));
            assert_eq!(status, if over { 201 } else { 200 }, "{path}: {answer}");
            self.asked_again += u64::from(unanswered > 0);
            self.changes.push(Change { asked, answered: millis(), over });
        }
    }

    /// What devices are to be in when everything has arrived.
    pub(super) fn mode(&self) -> OperatingMode {
        if self.over() { OperatingMode::Stopped } else { OperatingMode::Full }
    }

    /// How many changes were answered by the millisecond a token was issued; `None` before the first look.
    pub(super) fn answered_by(&self, issued: u64) -> Option<usize> {
        let answered = self.changes.iter().filter(|change| change.answered <= issued).count();
        (issued >= self.began).then_some(answered)
    }

    /// Whether the books ordered this mode in the millisecond a token was issued: by the last change that was answered, or
    /// by one that was under way.
    pub(super) fn ordered(&self, mode: OperatingMode, issued: u64) -> bool {
        // A clock has seconds and a schedule too: on its way to the stop a device may be locked for a moment.
        let fits = |over: bool| over == (mode != OperatingMode::Full);
        let last = self.changes.iter().rev().find(|change| change.answered <= issued);
        let mut open =
            self.changes.iter().filter(|change| change.asked <= issued && issued < change.answered);
        fits(last.is_some_and(|change| change.over)) || open.any(|change| fits(change.over))
    }

    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn asked_again(&self) -> u64 {
        self.asked_again
    }
}
