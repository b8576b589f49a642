//! A light agent: the real driver, verification and enforcement of a device, over real TLS, with state in memory.
//!
//! What `coterm-agent` has besides is left out: files, hooks, signals, the public state for people. A thousand of these
//! are one process, so that a cloud can be measured with a fleet it would really have.

use crate::tally::Tally;
use coterm_agent::actuator::worker::Outcome;
use coterm_agent::driver::{Driver, Effects, Identity, Input};
use coterm_agent::line::{Backoff, Outbox, Slot as Outgoing, report_pause};
use coterm_agent::state_file::{Medium, Slot, TwoSlots};
use coterm_shared::enforcement::{BootId, ClockPolicy, ClockReading, DeviceClass, ModeCap, OperatingMode};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::Expected;
use coterm_tests::operator::now;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// What a device was provisioned with.
#[derive(Debug)]
pub(crate) struct Kit {
    /// What it expects of a token.
    pub(crate) expected: Expected,
    /// Where the broker is.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Its certificate and whom it trusts.
    pub(crate) tls: Arc<ClientConfig>,
    /// The pinned root.
    pub(crate) root: Vec<u8>,
    /// The keyring it came with.
    pub(crate) keyring: Vec<u8>,
    /// Time between two reports, if nothing happens.
    pub(crate) heartbeat: Seconds,
    /// The longest pause between two attempts to connect.
    pub(crate) max_backoff: Duration,
}

/// Two slots in memory.
#[derive(Debug, Default)]
struct Memory([Vec<u8>; 2]);

impl Medium for Memory {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        Ok(self.slot(slot).clone())
    }

    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        let held = self.slot(slot);
        held.clear();
        held.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _: Slot) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn slot(&mut self, slot: Slot) -> &mut Vec<u8> {
        match slot {
            Slot::Zero => &mut self.0[0],
            Slot::One => &mut self.0[1],
        }
    }
}

/// What happened on the line.
enum Line {
    Up(AsyncClient),
    Message(Box<Publish>),
    Published,
    Down,
}

/// An agent with its line, as a task sees it.
pub(crate) struct Agent {
    n: usize,
    device: DeviceId,
    driver: Driver<TwoSlots<Memory>>,
    outbox: Outbox,
    client: Option<AsyncClient>,
    unacknowledged: BTreeMap<u64, Publish>,
    tickets: u64,
    serial: u64,
    next_root: u64,
    born: Instant,
    wake_at: tokio::time::Instant,
    /// When a report that waits is asked for.
    speak_at: Option<tokio::time::Instant>,
    tally: Arc<Tally>,
}

/// Runs an agent until the task is dropped; `hang_up` ends its connection as if the network had.
pub(crate) async fn run(n: usize, kit: Arc<Kit>, hang_up: Arc<Notify>, tally: Arc<Tally>) {
    let born = Instant::now();
    let identity = Identity {
        expected: kit.expected.clone(),
        class: DeviceClass::Camera,
        cap: ModeCap::of(DeviceClass::Camera, None),
        heartbeat: kit.heartbeat,
    };
    let built = Timestamp::from_secs_clamped(now().saturating_sub(86_400));
    let driver = Driver::open(
        identity,
        &kit.root,
        Some(&kit.keyring),
        TwoSlots::new(Memory::default()),
        ClockPolicy::standard(built),
        reading(born),
        random,
    )
    .expect("what the cloud provisioned is good");
    let device = kit.expected.device.clone();
    let next_root = driver.next_root();
    let mut agent = Agent {
        n,
        device,
        driver,
        outbox: Outbox::default(),
        client: None,
        unacknowledged: BTreeMap::new(),
        tickets: 0,
        serial: 0,
        next_root,
        born,
        wake_at: tokio::time::Instant::now(),
        speak_at: None,
        tally: Arc::clone(&tally),
    };
    agent.feed(Input::Tick);
    let (events, mut line) = mpsc::channel(16);
    let connection = tokio::spawn(connect(kit, next_root, hang_up, tally, events));
    loop {
        tokio::select! {
            event = line.recv() => match event {
                Some(event) => agent.line(event),
                None => break,
            },
            () = tokio::time::sleep_until(agent.next_at()) => agent.time(),
        }
    }
    connection.abort();
}

impl Agent {
    fn line(&mut self, event: Line) {
        match event {
            Line::Up(client) => {
                self.client = Some(client);
                self.tally.connected(self.n, true);
                self.outbox.lost();
                self.feed(Input::Connected);
            }
            Line::Down => {
                self.client = None;
                self.tally.connected(self.n, false);
                self.unacknowledged.clear();
                self.outbox.lost();
                self.outbox.forget_request();
                self.feed(Input::Disconnected);
            }
            Line::Message(publish) => {
                self.tickets += 1;
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let payload = publish.payload.to_vec();
                self.tally.heard();
                self.unacknowledged.insert(self.tickets, *publish);
                self.feed(Input::Message { ticket: self.tickets, topic, payload });
            }
            Line::Published => {
                self.outbox.acknowledged();
                self.pump();
            }
        }
    }

    fn next_at(&self) -> tokio::time::Instant {
        self.speak_at.map_or(self.wake_at, |at| at.min(self.wake_at))
    }

    fn time(&mut self) {
        let now = tokio::time::Instant::now();
        if self.speak_at.is_some_and(|at| now >= at) {
            self.speak_at = None;
            self.feed(Input::Speak);
        }
        if now >= self.wake_at {
            self.feed(Input::Tick);
        }
    }

    fn feed(&mut self, input: Input) {
        let mut next = Some(input);
        // An order is carried out at once: what it moves is a number.
        while let Some(input) = next.take() {
            let effects = self.driver.handle(input, reading(self.born));
            next = self.carry_out(effects);
        }
    }

    fn carry_out(&mut self, effects: Effects) -> Option<Input> {
        for ticket in effects.acknowledge {
            if let (Some(publish), Some(client)) = (self.unacknowledged.remove(&ticket), &self.client) {
                let _ = client.try_ack(&publish);
            }
        }
        let driven = effects.order.map(|order| {
            self.serial += 1;
            self.tally.applied(self.n, order.mode);
            Input::Driven(Outcome { serial: self.serial, order, faults: Vec::new() })
        });
        if let Some(request) = effects.request {
            self.outbox.put(Outgoing::Request, request);
        }
        if let Some(report) = effects.report {
            self.outbox.put(Outgoing::Report, report);
        }
        let root = self.driver.next_root();
        if root != self.next_root
            && let Some(client) = &self.client
        {
            let _ = client.try_unsubscribe(Topic::Root(self.next_root).to_string());
            let _ = client.try_subscribe(Topic::Root(root).to_string(), QoS::AtLeastOnce);
            self.next_root = root;
        }
        self.pump();
        if effects.report_waits && self.speak_at.is_none() {
            self.speak_at = Some(tokio::time::Instant::now() + report_pause(random()));
        }
        let pause = Duration::from_secs(effects.wake_in.0).max(Duration::from_millis(1));
        self.wake_at = tokio::time::Instant::now() + pause;
        driven
    }

    fn pump(&mut self) {
        let Some(client) = &self.client else { return };
        if let Some((slot, payload)) = self.outbox.take() {
            let topic = match slot {
                Outgoing::Report => Topic::Report(self.device.clone()),
                Outgoing::Request => Topic::Request(self.device.clone()),
            };
            if client.try_publish(topic.to_string(), QoS::AtLeastOnce, false, payload).is_err() {
                self.outbox.lost();
            }
            self.tally.said();
        }
    }
}

/// Connects for ever, with the pauses a device makes.
async fn connect(
    kit: Arc<Kit>,
    root: u64,
    hang_up: Arc<Notify>,
    tally: Arc<Tally>,
    events: mpsc::Sender<Line>,
) {
    let mut backoff = Backoff::new(kit.max_backoff);
    loop {
        let mut since = None;
        let ended = tokio::select! {
            ended = session(&kit, root, &events, &mut since) => ended,
            () = hang_up.notified() => Ok(String::from("hung up")),
        };
        let Ok(reason) = ended else { return };
        tally.ended(&reason);
        if events.send(Line::Down).await.is_err() {
            return;
        }
        let lived = since.map(|since: Instant| since.elapsed());
        tokio::time::sleep(backoff.ended(lived, random())).await;
    }
}

/// The other side is gone.
struct Closed;

async fn session(
    kit: &Kit,
    root: u64,
    events: &mpsc::Sender<Line>,
    since: &mut Option<Instant>,
) -> Result<String, Closed> {
    let id = kit.expected.device.to_string();
    let mut options = MqttOptions::new(id.as_str(), kit.host.as_str(), kit.port);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&kit.tls))))
        .set_credentials(id.as_str(), "")
        .set_clean_start(true)
        .set_keep_alive(Duration::from_secs(60))
        .set_connection_timeout(60)
        .set_outgoing_inflight_upper_limit(8)
        .set_manual_acks(true);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut event_loop) = AsyncClient::new(options, 32);
    loop {
        let event = match event_loop.poll().await {
            Ok(event) => event,
            Err(error) => return Ok(error.to_string()),
        };
        let told = match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                *since = Some(Instant::now());
                let filters = [Topic::Keyring, Topic::Token(kit.expected.device.clone())]
                    .map(|topic| Filter::new(topic.to_string(), QoS::AtLeastOnce));
                let _ = client.try_subscribe(Topic::Root(root).to_string(), QoS::AtLeastOnce);
                let _ = client.try_subscribe_many(filters);
                Some(Line::Up(client.clone()))
            }
            Event::Incoming(Packet::Publish(publish)) => Some(Line::Message(Box::new(publish))),
            Event::Incoming(Packet::PubAck(_)) => Some(Line::Published),
            Event::Incoming(_) | Event::Outgoing(_) => None,
        };
        if let Some(told) = told {
            events.send(told).await.map_err(|_| Closed)?;
        }
    }
}

/// What the clocks of a device show: this machine's.
fn reading(born: Instant) -> ClockReading {
    ClockReading {
        boot_id: BootId::from_bytes([7; 16]),
        boot_secs: born.elapsed().as_secs(),
        wall: Timestamp::from_secs_clamped(now()),
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// The mode a device is in that is licensed, as all are before a scenario begins.
pub(crate) const FIRST: OperatingMode = OperatingMode::Full;
