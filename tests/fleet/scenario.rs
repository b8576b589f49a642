//! What happens to a fleet, and what is measured of it.

use crate::agent::{self, FIRST, Kit};
use crate::api::{Api, Failure};
use crate::interface::{Answers, Asker};
use crate::tally::{Tally, percentiles};
use crate::{Options, Scenario};
use coterm_shared::enforcement::OperatingMode;
use coterm_shared::time::Seconds;
use coterm_tests::operator::now;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Devices of the small group beside the large one.
const SMALL: usize = 10;
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Threads that claim and provision.
const HANDS: usize = 8;
const YEAR_DAYS: u64 = 365;

/// The fleet, connected.
struct Fleet {
    api: Api,
    /// Who works in the organization: what the worker asks for, the vendor may approve.
    worker: Api,
    organization: String,
    tally: Arc<Tally>,
    hang_up: Vec<Arc<Notify>>,
}

/// The two groups: agents `0..SMALL` are of the small one.
const GROUPS: [&str; 2] = ["Small", "Large"];

/// Makes a fleet, lets the scenario happen, and says what was measured.
pub(crate) async fn run(options: &Options, api: Api) -> Result<Value, Failure> {
    let agents = options.agents as usize;
    let began = Instant::now();
    let (organization, kits) = prepare(options, &api).await?;
    let token = json!({ "name": "fleet", "role": "org-admin", "organization": organization });
    let token = api.post("/api-tokens", &token)?;
    let worker = api.with_token(token["token"].as_str().ok_or("no token")?);
    let prepared = began.elapsed();
    let tally = Arc::new(Tally::new(agents));
    let hang_up: Vec<Arc<Notify>> = (0..agents).map(|_| Arc::default()).collect();
    let connecting = Instant::now();
    for (n, kit) in kits.into_iter().enumerate() {
        tokio::spawn(agent::run(n, Arc::new(kit), Arc::clone(&hang_up[n]), Arc::clone(&tally)));
    }
    let fleet = Fleet { api, worker, organization, tally, hang_up };
    fleet.wait("connecting", || fleet.tally.connections() == agents).await?;
    let handshakes = percentiles(fleet.tally.connected_after(connecting));
    fleet.wait("licensed", || fleet.tally.in_mode(FIRST) == agents).await?;
    // What was under way while they connected is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let measured = match options.scenario {
        Scenario::Converge => fleet.converge(options.rounds).await?,
        Scenario::Storm => fleet.storm().await?,
        Scenario::Churn => fleet.churn(options.seconds, options.churn_percent).await?,
        Scenario::Steady => fleet.steady(options.seconds).await?,
    };
    if let Some(id) = token["id"].as_str() {
        fleet.call("DELETE", format!("/api-tokens/{id}"), None).await?;
    }
    progress(&format!("{}\n", fleet.tally.line()));
    Ok(json!({
        "scenario": options.scenario.name(),
        "agents": agents,
        "organization": fleet.organization,
        "prepared_ms": prepared.as_millis() as u64,
        "connecting": handshakes,
        "measured": measured,
        "fleet": fleet.tally.json(),
    }))
}

fn progress(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[2K{line}");
    let _ = stderr.flush();
}

/// Founds the organization with its groups, licenses and devices; returns it with what each device needs.
async fn prepare(options: &Options, api: &Api) -> Result<(String, Vec<Kit>), Failure> {
    let agents = options.agents as usize;
    let stamp = now();
    api.call("PUT", "/prices/camera", Some(&json!({ "price": 199 })))?;
    api.call("PUT", "/models/FLEET-CAM", Some(&json!({ "product": "camera", "units": 1 })))?;
    // No grace: a verdict is felt at once.
    let body = json!({
        "name": format!("Fleet {stamp}"),
        "license_groups": true,
        "settings": { "grace_secs": 0 },
    });
    let organization = id_of(&api.post("/organizations", &body)?)?;
    let root = format!("/organizations/{organization}");
    let mut sites = Vec::new();
    for (name, units) in GROUPS.into_iter().zip([SMALL, agents.saturating_sub(SMALL)]) {
        let group = id_of(&api.post(&format!("{root}/groups"), &json!({ "name": name }))?)?;
        let site = api.post(&format!("{root}/sites"), &json!({ "name": name, "group": group }))?;
        sites.push(id_of(&site)?);
        let order = json!({
            "order_number": "FLEET-1",
            "lines": [{ "product": "camera", "quantity": units }],
            "term_days": YEAR_DAYS,
        });
        let key = api.post("/keys", &order)?;
        let claim = json!({ "code": key["code"], "group": group, "mode": "increase" });
        api.post(&format!("{root}/keys/claim"), &claim)?;
    }
    let max_backoff = Duration::from_secs(options.max_backoff.max(1));
    let heartbeat = Seconds(options.heartbeat.max(1));
    let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hands: Vec<_> = (0..HANDS)
        .map(|hand| {
            let (api, organization, sites) = (api.clone(), organization.clone(), sites.clone());
            let (root, made) = (root.clone(), Arc::clone(&made));
            tokio::task::spawn_blocking(move || -> Result<Vec<(usize, Kit)>, Failure> {
                let mut kits = Vec::new();
                for n in (hand..agents).step_by(HANDS) {
                    let device = format!("fleet-{stamp}-{n}");
                    let site = if n < SMALL { &sites[0] } else { &sites[1] };
                    let body = json!({ "id": device, "site": site, "model": "FLEET-CAM" });
                    api.post(&format!("{root}/devices"), &body)?;
                    kits.push((n, api.kit(&organization, &device, heartbeat, max_backoff)?));
                    let made = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                    if made.is_multiple_of(100) {
                        progress(&format!("provisioned {made}/{agents}"));
                    }
                }
                Ok(kits)
            })
        })
        .collect();
    let mut kits = Vec::new();
    for hand in hands {
        kits.extend(hand.await.map_err(|error| error.to_string())??);
    }
    kits.sort_by_key(|(n, _)| *n);
    Ok((organization, kits.into_iter().map(|(_, kit)| kit).collect()))
}

fn id_of(value: &Value) -> Result<String, Failure> {
    value["id"].as_str().map(str::to_owned).ok_or_else(|| format!("no id: {value}"))
}

impl Fleet {
    /// Waits for something, with a line of progress every half second.
    async fn wait(&self, what: &str, done: impl Fn() -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        let mut shown = Instant::now();
        while !done() {
            if began.elapsed() > PATIENCE {
                return Err(format!("waited {} s for: {what}; {}", PATIENCE.as_secs(), self.tally.line()));
            }
            if shown.elapsed() > Duration::from_millis(500) {
                shown = Instant::now();
                progress(&format!("{what}: {}", self.tally.line()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// One request of the interface, away from the tasks of the agents.
    async fn call(&self, method: &'static str, path: String, body: Option<Value>) -> Result<Value, Failure> {
        let api = self.api.clone();
        let call = tokio::task::spawn_blocking(move || api.call(method, &path, body.as_ref()));
        call.await.map_err(|error| error.to_string())?
    }

    /// A change as the worker makes it, approved by the vendor if it is held (domain E6); when it was answered.
    async fn change(&self, path: String, body: Option<Value>) -> Result<Instant, Failure> {
        let (api, worker) = (self.api.clone(), self.worker.clone());
        let root = format!("/organizations/{}", self.organization);
        // The time is taken where the answer comes: a task of this program may wait behind those of the agents.
        let change = tokio::task::spawn_blocking(move || {
            worker.change(&path, body.as_ref(), &api, &root).map(|()| Instant::now())
        });
        change.await.map_err(|error| error.to_string())?
    }

    /// One device too many, and away again, in the small group and in the large one.
    async fn converge(&self, rounds: u32) -> Result<Value, Failure> {
        let agents = self.hang_up.len();
        let root = format!("/organizations/{}", self.organization);
        let sites = self.call("GET", format!("{root}/sites"), None).await?;
        let mut told = serde_json::Map::new();
        for (name, which) in GROUPS.into_iter().zip([0..SMALL, SMALL..agents]) {
            let site = sites["items"].as_array().into_iter().flatten().find(|site| site["name"] == name);
            let site = site.ok_or("the site is gone")?["id"].clone();
            let (mut locked, mut restored) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                let device = format!("extra-{}-{name}-{round}", self.organization);
                let body = json!({ "id": device, "site": site, "model": "FLEET-CAM" });
                let asked = Instant::now();
                let start = (asked, self.change(format!("{root}/devices"), Some(body)).await?);
                let there = |mode| self.tally.applied_after(start, mode, which.clone()).len() == which.len();
                self.wait("locking", || there(OperatingMode::ManagementLocked)).await?;
                locked.extend(self.tally.applied_after(
                    start,
                    OperatingMode::ManagementLocked,
                    which.clone(),
                ));
                let asked = Instant::now();
                let start = (asked, self.change(format!("{root}/devices/{device}/retire"), None).await?);
                let there = |mode| self.tally.applied_after(start, mode, which.clone()).len() == which.len();
                self.wait("restoring", || there(OperatingMode::Full)).await?;
                restored.extend(self.tally.applied_after(start, OperatingMode::Full, which.clone()));
            }
            told.insert(
                name.to_lowercase(),
                json!({
                    "devices": which.len(),
                    "rounds": rounds,
                    "answer_to_locked": percentiles(locked),
                    "answer_to_restored": percentiles(restored),
                }),
            );
        }
        Ok(Value::Object(told))
    }

    /// Every connection at once.
    async fn storm(&self) -> Result<Value, Failure> {
        let agents = self.hang_up.len();
        let quiet = self.answers(Duration::from_secs(5)).await?;
        let start = Instant::now();
        self.hang_up.iter().for_each(|one| one.notify_one());
        self.wait("hanging up", || self.tally.connections() < agents / 2).await?;
        let asker = self.asks()?;
        self.wait("coming back", || self.tally.connected_after(start).len() == agents).await?;
        let during = asker.stop().await?;
        Ok(json!({
            "back": percentiles(self.tally.connected_after(start)),
            "interface_quiet": percentiles(quiet),
            "interface_during": percentiles(during.took),
            "interface_failed": during.failed,
        }))
    }

    /// Somebody who looks at the groups, again and again.
    fn asks(&self) -> Result<Asker, Failure> {
        Asker::start(self.api.clone(), format!("/organizations/{}/groups", self.organization))
    }

    /// How long the interface takes to answer, asked all the time.
    async fn answers(&self, during: Duration) -> Result<Vec<Duration>, Failure> {
        let asker = self.asks()?;
        tokio::time::sleep(during).await;
        let Answers { took, failed } = asker.stop().await?;
        if failed > 0 { Err("the interface does not answer".to_owned()) } else { Ok(took) }
    }

    /// Some hang up every second.
    async fn churn(&self, seconds: u64, percent: u32) -> Result<Value, Failure> {
        let agents = self.hang_up.len();
        let each = (agents * percent as usize / 100).max(1);
        let mut next = 0;
        let mut least = agents;
        for _ in 0..seconds {
            for _ in 0..each {
                self.hang_up[next % agents].notify_one();
                next += 1;
            }
            let second = Instant::now();
            while second.elapsed() < Duration::from_secs(1) {
                least = least.min(self.tally.connections());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            progress(&self.tally.line());
        }
        let end = Instant::now();
        self.wait("coming back", || self.tally.connections() == agents).await?;
        Ok(json!({
            "seconds": seconds,
            "hung_up": next,
            "fewest_connected": least,
            "all_back_after_ms": end.elapsed().as_millis() as u64,
            "not_in_full_operation": agents - self.tally.in_mode(FIRST),
        }))
    }

    /// Nothing but heartbeats.
    async fn steady(&self, seconds: u64) -> Result<Value, Failure> {
        let before = self.tally.json();
        let answers = self.answers(Duration::from_secs(seconds)).await?;
        let after = self.tally.json();
        let since = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
        Ok(json!({
            "seconds": seconds,
            "messages_in": since("messages_in"),
            "messages_out": since("messages_out"),
            "interface": percentiles(answers),
        }))
    }
}
