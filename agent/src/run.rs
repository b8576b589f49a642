//! `coterm-agent run`: the driver among its adapters.
//!
//! One async thread holds the driver, the line to the broker and the signals; the actuators have a thread of their
//! own. Effects are carried out in their order: acknowledge what is on disk, order the actuators, show the public
//! state, then report. On TERM or INT the clock's tick is saved and the broker told goodbye; the device stays in its
//! mode, and its workload runs on.

use crate::actuator;
use crate::actuator::worker::{Outcome, Worker};
use crate::clock::{self, Clock, SystemClock};
use crate::config::Config;
use crate::driver::{Driver, Effects, Identity, Input};
use crate::enrolment::renew::{Renewal, Renewed};
use crate::files;
use crate::local_state::{self, LinkState};
use crate::mqtt::{self, LinkEvent, Message, Outbox, Session, Slot};
use crate::state_file::{FileMedium, TwoSlots};
use anyhow::Context;
use coterm_shared::protocol::Topic;
use coterm_shared::time::Seconds;
use coterm_shared::token::Expected;
use sd_notify::NotifyState;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Messages kept to be acknowledged; the broker is granted fewer at a time.
const MAX_UNACKNOWLEDGED: usize = 64;

/// How often it is looked whether the certificate is to be renewed.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);

/// For how long a report may take to leave when the agent ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Who a configuration says this device is.
pub(crate) fn identity(config: &Config) -> Identity {
    Identity {
        expected: Expected {
            trust_domain: config.trust_domain.clone(),
            device: config.device.clone(),
            organization: config.organization,
        },
        class: config.class,
        cap: config.cap(),
        heartbeat: Seconds(config.timing.heartbeat.as_secs()),
    }
}

/// Runs until TERM or INT.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    // Before anything can be interrupted: whoever sees the lock held may send TERM.
    let signals = Signals {
        terminate: signal(SignalKind::terminate()).context("listening for TERM")?,
        interrupt: signal(SignalKind::interrupt()).context("listening for INT")?,
    };
    if config.demonstration.is_some() {
        tracing::warn!("DEMONSTRATION: time on this device is not true; never run a real device like this");
    }
    files::ensure_dir(&config.state_dir, 0o700)?;
    files::ensure_dir(&config.run_dir, 0o755)?;
    let _lock = files::lock(&config.state_dir.join("lock"))?;
    let _run_lock = files::lock(&config.run_dir.join(local_state::LOCK_NAME))?;
    let clock = SystemClock::new(config.demonstration.as_ref());
    let root = files::read(&config.trust.root_file)
        .context("there is no root document; enrol the device with `coterm-agent enroll`, or provision it with `coterm device provision`")?;
    let keyring = files::read(&config.trust.keyring_file)
        .inspect_err(
            |error| tracing::error!(%error, "no keyring file; the stored one is used if there is one"),
        )
        .ok();
    let driver = Driver::open(
        identity(config),
        &root,
        keyring.as_deref(),
        TwoSlots::new(FileMedium::new(config.state_dir.clone())),
        clock::policy(config.demonstration.as_ref()),
        clock.reading()?,
        random,
    )?;
    let worker = Worker::start(actuator::build(&config.actuators, &config.run_dir), config.timing.observe)
        .context("starting the actuators' thread")?;
    let now = Arc::new(mqtt::tls::TrustedNow::default());
    now.set(driver.trusted_time().floor);
    let driver_root = driver.next_root();
    let mut agent = Agent {
        config,
        clock,
        driver,
        worker,
        now: Arc::clone(&now),
        next_root: Arc::new(AtomicU64::new(driver_root)),
        session: None,
        outbox: Outbox::default(),
        unacknowledged: BTreeMap::new(),
        tickets: 0,
        wake_at: Instant::now(),
        speak_at: None,
        link_state: LinkState {
            broker: format!("{}:{}", config.broker.host, config.broker.port),
            message: "connecting".to_owned(),
            ..LinkState::default()
        },
    };
    agent.show_link();
    // The last verdict holds before anything is heard, and while it is carried out the first tick gets onto the disk.
    agent.feed(Input::Tick)?;
    agent.feed(Input::Tick)?;
    agent.serve(now, signals).await
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// What asks the agent to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

struct Agent<'a> {
    config: &'a Config,
    clock: SystemClock,
    driver: Driver<TwoSlots<FileMedium>>,
    worker: Worker,
    now: Arc<mqtt::tls::TrustedNow>,
    /// The version of the root the line listens for.
    next_root: Arc<AtomicU64>,
    session: Option<Session>,
    outbox: Outbox,
    /// Messages the driver has not settled yet, by ticket; at most what the broker may have under way.
    unacknowledged: BTreeMap<u64, Message>,
    tickets: u64,
    wake_at: Instant,
    /// When a report that waits is asked for.
    speak_at: Option<Instant>,
    link_state: LinkState,
}

impl Agent<'_> {
    /// Shows the people at the device how the line and the actuators are.
    fn show_link(&self) {
        if let Err(error) = local_state::write_link(&self.config.run_dir, &self.link_state) {
            tracing::error!(%error, "the agent's own state could not be written");
        }
    }

    async fn serve(&mut self, now: Arc<mqtt::tls::TrustedNow>, mut signals: Signals) -> anyhow::Result<()> {
        let mut link = self.connect(Arc::clone(&now));
        let mut renewal = Renewal::new(self.config, random());
        let look = if self.config.demonstration.is_some() { Duration::from_secs(1) } else { RENEWAL_LOOK };
        let mut looks = tokio::time::interval(look);
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / 2);
        self.notify(&[NotifyState::Ready]);
        loop {
            let pause = watchdog.map(|pause| Instant::now() + pause);
            let wake_at = [pause, self.speak_at].into_iter().flatten().fold(self.wake_at, Instant::min);
            tokio::select! {
                event = next_event(&mut link) => match event {
                    Some(event) => self.line(event)?,
                    // Only a defect ends it; a new process has a line again, and the device stays in its mode.
                    None => anyhow::bail!("the line to the broker ended by itself"),
                },
                outcome = self.worker.outcome() => match outcome {
                    Some(outcome) => self.driven(outcome)?,
                    None => anyhow::bail!("the actuators' thread ended; the device stays in its mode"),
                },
                () = tokio::time::sleep_until(wake_at) => {
                    if Instant::now() >= self.wake_at {
                        self.feed(Input::Tick)?;
                    }
                    if self.speak_at.is_some_and(|at| Instant::now() >= at) {
                        self.speak()?;
                    }
                    self.notify(&[NotifyState::Watchdog]);
                }
                _ = looks.tick() => {
                    // Time as it is now, not as it was at the last message.
                    self.feed(Input::Tick)?;
                    let (root, keyring) = self.driver.trust();
                    let floor = self.driver.trusted_time().floor;
                    match renewal.look(root, keyring, floor) {
                        Some(Renewed::Certificate) => {
                            tracing::info!("the device has a new certificate and connects with it");
                            // The old line first: two of one device would put each other out.
                            drop(link.take());
                            let message = "connecting with a new certificate".to_owned();
                            self.line(LinkEvent::Down { message, retry_in: Duration::ZERO })?;
                            link = self.connect(Arc::clone(&now));
                        }
                        Some(Renewed::Confirmed) => tracing::info!("the cloud knows the new certificate is used"),
                        None => {}
                    }
                }
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        self.end(link).await
    }

    /// Starts the line to the broker, with the certificate there is.
    fn connect(&self, now: Arc<mqtt::tls::TrustedNow>) -> Option<mqtt::Link> {
        let device = self.config.device.clone();
        match mqtt::tls::client_config(&self.config.broker, now) {
            Ok(tls) => Some(mqtt::start(
                device.to_string(),
                self.config.broker.clone(),
                self.config.timing,
                tls,
                [Topic::Keyring.to_string(), Topic::Token(device).to_string()],
                Arc::clone(&self.next_root),
            )),
            Err(error) => {
                // What is stored is enforced all the same.
                tracing::error!(%error, "no connection to the broker is possible; run `coterm-agent check`");
                None
            }
        }
    }

    fn notify(&self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }

    fn driven(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        let faults =
            outcome.faults.iter().map(|fault| format!("{}: {}", fault.actuator, fault.message)).collect();
        if self.link_state.faults != faults {
            for fault in &faults {
                tracing::error!("an actuator does not obey: {fault}");
            }
            self.link_state.faults = faults;
            self.show_link();
        }
        self.feed(Input::Driven(outcome))
    }

    fn line(&mut self, event: LinkEvent) -> anyhow::Result<()> {
        match event {
            LinkEvent::Up(session) => {
                tracing::info!(broker = %self.config.broker.host, "connected");
                self.session = Some(session);
                self.link_state.connected = true;
                self.link_state.message.clear();
                self.show_link();
                self.unacknowledged.clear();
                self.outbox.lost();
                self.feed(Input::Connected)
            }
            LinkEvent::Down { message, retry_in } => {
                tracing::warn!(retry_in_ms = retry_in.as_millis(), "not connected: {message}");
                self.session = None;
                if self.link_state.connected || self.link_state.message != message {
                    self.link_state.connected = false;
                    self.link_state.message = message;
                    self.show_link();
                }
                self.unacknowledged.clear();
                self.outbox.lost();
                // A nonce that was not sent within its session is too old to prove anything.
                self.outbox.forget_request();
                self.feed(Input::Disconnected)
            }
            LinkEvent::Message(message) => {
                self.tickets = self.tickets.saturating_add(1);
                let ticket = self.tickets;
                let topic = message.topic().unwrap_or_default().to_owned();
                let payload = message.payload().to_vec();
                self.unacknowledged.insert(ticket, message);
                // A broker that sends more than it was granted does not fill the memory: it sends the rest again.
                while self.unacknowledged.len() > MAX_UNACKNOWLEDGED {
                    self.unacknowledged.pop_first();
                }
                self.feed(Input::Message { ticket, topic, payload })
            }
            LinkEvent::Published(outcome) => {
                if let Err(reason) = outcome {
                    tracing::warn!(
                        ?reason,
                        "the broker refuses what this device says; check its access rules"
                    );
                }
                self.outbox.acknowledged();
                self.pump();
                Ok(())
            }
        }
    }

    fn feed(&mut self, input: Input) -> anyhow::Result<()> {
        let effects = self.driver.handle(input, self.clock.reading()?);
        self.now.set(self.driver.trusted_time().floor);
        let next_root = self.driver.next_root();
        let before = self.next_root.swap(next_root, Ordering::Relaxed);
        if let Some(session) = self.session.as_ref().filter(|_| before != next_root) {
            session.follow_root(before, next_root);
        }
        self.carry_out(effects);
        Ok(())
    }

    fn carry_out(&mut self, effects: Effects) {
        for ticket in effects.acknowledge {
            if let (Some(message), Some(session)) = (self.unacknowledged.remove(&ticket), &self.session) {
                session.acknowledge(&message);
            }
        }
        if let Some(order) = effects.order {
            self.worker.order(order);
        }
        if let Some(state) = effects.public_state
            && let Err(error) = local_state::write(&self.config.run_dir, &state)
        {
            tracing::error!(%error, "the public state file could not be written");
        }
        if let Some(request) = effects.request {
            self.outbox.put(Slot::Request, request);
        }
        if let Some(report) = effects.report {
            self.outbox.put(Slot::Report, report);
        }
        self.pump();
        if effects.report_waits && self.speak_at.is_none() {
            self.speak_at = Some(Instant::now() + self.clock.real(mqtt::report_pause(random())));
        }
        let wake_in = self.clock.real(Duration::from_secs(effects.wake_in.0));
        self.wake_at = Instant::now() + wake_in.max(Duration::from_millis(1));
    }

    fn speak(&mut self) -> anyhow::Result<()> {
        self.speak_at = None;
        self.feed(Input::Speak)
    }

    fn pump(&mut self) {
        let Some(session) = &self.session else { return };
        let device = self.config.device.clone();
        if let Some((slot, payload)) = self.outbox.take() {
            let topic = match slot {
                Slot::Report => Topic::Report(device),
                Slot::Request => Topic::Request(device),
            };
            if !session.publish(topic.to_string(), payload) {
                self.outbox.lost();
            }
        }
    }

    async fn end(&mut self, mut link: Option<mqtt::Link>) -> anyhow::Result<()> {
        tracing::info!("ending; the device stays in its mode");
        self.notify(&[NotifyState::Stopping]);
        self.speak()?;
        self.driver.handle(Input::Ending, self.clock.reading()?);
        if let Some(session) = &self.session {
            session.disconnect();
            // What was already handed over leaves before the goodbye.
            let deadline = Instant::now() + FAREWELL;
            while let Ok(event) = tokio::time::timeout_at(deadline, next_event(&mut link)).await {
                if matches!(event, Some(LinkEvent::Down { .. }) | None) {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The next event on the line, `None` if its task is gone; never, if there is no line.
async fn next_event(link: &mut Option<mqtt::Link>) -> Option<LinkEvent> {
    match link {
        Some(link) => link.events.recv().await,
        None => std::future::pending().await,
    }
}
