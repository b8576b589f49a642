//! Proves on a running broker that it keeps the access rule, and that what must work does.
//!
//! **Problem.** Devices and tenants are kept apart by a broker's configuration, which somebody wrote by hand, and a
//! broker's answers are no proof: Mosquitto acknowledges subscriptions it never serves. **Method.** Somebody of every kind
//! ([`matrix::Who`]) comes and tries everything ([`matrix::TABLE`]) while two devices and the cloud watch; what counts is
//! what arrived, up to a message that was sent last. The same code judges the embedded broker and a real Mosquitto in the
//! tests, and an operator's own with `coterm-cloud check broker`. **Deliberately absent:** load, and anything that
//! a real device would notice: topics are those of throw-away devices, and of keyring and roots only what devices know already is
//! published.

pub mod check;
pub mod client;
mod command;
mod ear;
pub mod judge;
pub mod judge_cloud;
pub mod matrix;
pub mod suite;

pub use command::{BrokerArgs, run};
pub use ear::Ear;

use crate::ports::{Broker, Outgoing};
use client::{Login, Mqtt, Place};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;
use matrix::{Kind, Line, Verb, Who};
use std::sync::Arc;
use std::time::Duration;

/// Somebody with a certificate (or without), and what they say of themselves.
#[derive(Clone, Debug)]
pub struct Face {
    /// What is special about them.
    pub who: Who,
    /// The device their certificate names, or would; for the cloud any.
    pub device: DeviceId,
    /// The client id they give.
    pub client_id: String,
    /// The user name they give.
    pub user: Option<String>,
    /// What they show.
    pub tls: Arc<rustls::ClientConfig>,
}

/// A broker under test and everybody who meets it.
pub struct Bench {
    /// Where it is.
    pub place: Place,
    /// What kind of broker it is.
    pub kind: Kind,
    /// The cloud's hands on it.
    pub cloud: Arc<dyn Broker>,
    /// What the cloud hears.
    pub ear: Arc<Ear>,
    /// The device that tries everything: in good standing, with its own certificate.
    pub own: Face,
    /// Another device of the same organization; it watches.
    pub other: Face,
    /// A device of another organization, if there is one; it watches too.
    pub foreign: Option<Face>,
    /// Everybody else who tries. Who is missing is not judged.
    pub strangers: Vec<Face>,
    /// The cloud's certificate, where the cloud comes over the network.
    pub cloud_face: Option<Face>,
    /// The keyring: what is published there, and forged.
    pub keyring: Arc<[u8]>,
    /// The version of the root whose topic is used.
    pub root_version: u64,
    /// How long to wait, besides, for what must not come; nothing where the broker delivers in order.
    pub settle: Duration,
}

impl Bench {
    /// How this one logs in.
    #[must_use]
    pub fn login(&self, face: &Face) -> Login {
        Login {
            place: self.place.clone(),
            client_id: face.client_id.clone(),
            user: face.user.clone(),
            will: None,
            clean_start: true,
            tls: Arc::clone(&face.tls),
        }
    }

    /// Connects as this one.
    ///
    /// # Errors
    /// What the broker said against it.
    pub async fn connect(&self, face: &Face) -> Result<Mqtt, String> {
        self.login(face).connect().await
    }

    /// Publishes as the cloud.
    ///
    /// # Errors
    /// Why it did not go out.
    pub async fn publish(&self, topic: Topic, payload: &[u8], retain: bool) -> Result<(), String> {
        let what = topic.to_string();
        let message = Outgoing { topic, payload: Arc::from(payload), retain };
        self.cloud
            .publish(message)
            .await
            .map_err(|error| format!("the cloud cannot publish to {what}: {error}"))
    }

    /// A topic of the table with names in the place of braces, seen by `own`.
    #[must_use]
    pub fn fill(&self, template: &str, own: &DeviceId) -> String {
        let foreign = self.foreign.as_ref().unwrap_or(&self.other);
        fill(template, own.as_str(), self.other.device.as_str(), foreign.device.as_str(), self.root_version)
    }

    /// The devices that watch.
    pub fn witnesses(&self) -> impl Iterator<Item = &Face> {
        std::iter::once(&self.other).chain(&self.foreign)
    }

    /// The combinations that can be tried here. No topic name has wildcards (MQTT 5 §4.7.1), so nobody writes to those.
    pub fn combinations(&self) -> impl Iterator<Item = (&'static Line, Verb)> {
        let foreign = self.foreign.is_some();
        matrix::TABLE
            .iter()
            .filter(move |line| foreign || !line.topic.contains("{foreign}"))
            .flat_map(|line| Verb::ALL.map(|verb| (line, verb)))
            .filter(|(line, verb)| *verb != Verb::Write || !line.is_filter())
    }
}

fn fill(template: &str, own: &str, other: &str, foreign: &str, version: u64) -> String {
    template
        .replace("{own}", own)
        .replace("{other}", other)
        .replace("{foreign}", foreign)
        .replace("{version}", &version.to_string())
}
