//! The daemon as a whole: what is started in which order, and stopped in which.
//!
//! **Problem.** The same daemon runs under systemd, in a demonstration and inside tests, and must never lose an
//! acknowledged change by stopping at the wrong moment. **Method.** [`App::start`] opens everything or says in one
//! sentence why not; [`Running::stop`] goes backwards: no new requests, then the books answer what they took, then
//! devices are no longer served, then the store closes. **Deliberately absent:** signals and the command line, which
//! are `main`'s.

mod adapters;
mod check;
mod ends;
mod error;
mod housekeeping;
mod mqtt;
mod notify;
#[cfg(test)]
mod tests;

pub use check::{Outcome, check, migrate};
pub use error::StartError;
pub(crate) use mqtt::authorities;

use crate::alarms::Alarms;
use crate::auth::{ADMIN_TOKEN_FILE, TokenStore, bootstrap};
use crate::backup;
use crate::books::{Books, Mode};
use crate::clock::Clock;
use crate::config::Config;
use crate::enrolment::{Desk, EnrolmentListener, Policy as EnrolmentPolicy, Settings as EnrolmentSettings};
use crate::http::{Api, Deps, Readiness, router};
use crate::metrics::{Daemon, Metrics, Sources};
use crate::ports::{Broker, Inbox, Owners};
use crate::reconcile::{Counters, LatestInbox, Reconciler, Settings, SigningLedger, TokenPolicy};
use crate::signer::{Trust, TrustPolicy, Vault};
use crate::store::sqlite::SqliteStore;
use adapters::{Claims, CloudTime, DeviceKits, Obstacles, Statuses, time_of_making};
use coterm_certs::Pki;
use rustls::time_provider::TimeProvider;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long stopping waits for HTTP requests under way.
const HTTP_STOP_WITHIN: Duration = Duration::from_secs(5);

/// The database's file in the data directory.
pub const DATABASE_FILE: &str = "coterm.db";

/// The daemon, before it runs.
#[derive(Debug)]
pub struct App;

/// The running daemon.
pub struct Running {
    /// Where the API listens.
    pub http_addr: SocketAddr,
    /// Where devices connect, if the broker is in this process.
    pub mqtt_addr: Option<SocketAddr>,
    /// Where devices enrol, if they do.
    pub enrolment_addr: Option<SocketAddr>,
    /// The books.
    pub books: Books,
    /// What keeps devices up to date, with its counters.
    pub reconciler: Arc<Reconciler>,
    /// The chain of trust.
    pub trust: Arc<Trust>,
    /// Whether it does its work.
    pub readiness: Arc<dyn Readiness>,
    /// Where everything is kept; `admin.token` in it is the first API token.
    pub data_dir: PathBuf,
    broker: Arc<dyn Broker>,
    stopping: watch::Sender<bool>,
    http: JoinHandle<std::io::Result<()>>,
    housekeeping: JoinHandle<()>,
    courier: JoinHandle<()>,
    enrolment: Option<EnrolmentListener>,
}

impl App {
    /// Opens everything and starts it.
    ///
    /// # Errors
    /// What keeps it from starting. Nothing is left running then.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
        // Most likely to fail, and leaves nothing behind.
        let address = config.http.listen;
        let failed = |source| StartError::HttpListen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let http_addr = listener.local_addr().map_err(failed)?;

        open_data_dir(&config.data_dir)?;
        if backup::unfinished(&config.data_dir) {
            return Err(StartError::RestoreUnfinished { path: config.data_dir });
        }
        let mode = if config.demonstration { Mode::Demonstration } else { Mode::Production };
        let database = config.data_dir.join(DATABASE_FILE);
        let books = Books::start(SqliteStore::open(&database)?, clock, mode)?;
        match serve(&config, &books, listener, http_addr).await {
            Ok(running) => Ok(running),
            Err(error) => {
                books.close().await;
                Err(error)
            }
        }
    }
}

/// Starts everything around the books.
async fn serve(
    config: &Config,
    books: &Books,
    listener: TcpListener,
    http_addr: SocketAddr,
) -> Result<Running, StartError> {
    let now = books.now();
    let data_dir = config.data_dir.clone();
    let trust = Arc::new(Trust::open_or_create(&data_dir, trust_policy(config), vault(config), now)?);
    // While the time is in doubt nothing is signed, so no key is needed, and one made now would have the wrong window.
    if books.time_doubt().is_none()
        && let Err(error) = trust.rotate_if_due(now)
    {
        tracing::error!(%error, "the token key was not rotated; tried again");
    }
    let pki = Pki::open_or_create(&data_dir.join("pki"), {
        let books = books.clone();
        move || time_of_making(&books)
    })?;
    // For a broker elsewhere, and for the first start with one: the configuration names files that nobody else makes.
    housekeeping::for_other_brokers(&pki);
    let alarms = Arc::new(Alarms::default());
    let courier = notify::courier(config, books, &alarms)?;
    let tokens = Arc::new(TokenStore::open(&data_dir.join(DATABASE_FILE))?);
    let first =
        bootstrap(&tokens, &data_dir, now).map_err(|error| StartError::FirstToken(format!("{error:#}")))?;
    if first {
        let file = data_dir.join(ADMIN_TOKEN_FILE);
        tracing::info!(file = %file.display(), "the first API token is in this file: give it to `coterm` with \
            COTERM_TOKEN_FILE");
    }

    let inbox = Arc::new(LatestInbox::new(Arc::new(Counters::default())));
    let ours: Arc<dyn Inbox> = Arc::clone(&inbox) as Arc<dyn Inbox>;
    let owners: Arc<dyn Owners> = Arc::new(Claims(books.clone()));
    let time: Arc<dyn TimeProvider> = Arc::new(CloudTime(books.clone()));
    let deadline = config.limits.publish_deadline;
    let mqtt =
        mqtt::start(&config.mqtt, deadline, &pki, ours, Arc::clone(&owners), Arc::clone(&time)).await?;
    let broker = Arc::clone(&mqtt.broker);
    let reconciler = match reconcile(config, books, &trust, &mqtt, inbox).await {
        Ok(reconciler) => Arc::new(reconciler),
        Err(error) => {
            broker.stop().await;
            return Err(error);
        }
    };

    let revoked = Arc::new(Notify::new());
    let (stopping, stop_seen) = watch::channel(false);
    let desk = |policy| {
        let (books, trust, pki, owners) =
            (books.clone(), Arc::clone(&trust), pki.clone(), Arc::clone(&owners));
        Desk::new(books, trust, pki, owners, mqtt.address.clone(), Arc::clone(&revoked), policy)
    };
    let enrolment = match enrol(config, &pki, desk, time, stop_seen.clone()).await {
        Ok(enrolment) => enrolment,
        Err(error) => {
            reconciler.stop().await;
            broker.stop().await;
            return Err(error);
        }
    };
    let obstacles = Obstacles {
        books: books.clone(),
        reconciler: Arc::clone(&reconciler),
        external: mqtt.status.clone(),
        stopping: stop_seen.clone(),
    };
    let daemon = Daemon::new(Sources {
        books: books.clone(),
        reconciler: Arc::clone(&reconciler),
        alarms: Arc::clone(&alarms),
        broker: mqtt.counters(),
        obstacles: Box::new({
            let obstacles = obstacles.clone();
            move || obstacles.obstacles().len()
        }),
    });
    let metrics = Metrics::of(books.meters(), daemon, data_dir.join(DATABASE_FILE));
    let readiness: Arc<dyn Readiness> = Arc::new(obstacles);
    let deps = Deps {
        books: books.clone(),
        tokens,
        provisioner: Arc::new(DeviceKits {
            pki: pki.clone(),
            trust: Arc::clone(&trust),
            broker: mqtt.address.clone(),
            revoked: Arc::clone(&revoked),
        }),
        fleet: Arc::new(Statuses(Arc::clone(&reconciler))),
        readiness: Arc::clone(&readiness),
        lease: config.tokens.lease,
        alarms: Arc::clone(&alarms),
        metrics: Arc::new(metrics),
        notify: notify::rules(config),
    };
    let mut http_stop = stop_seen.clone();
    let server = axum::serve(listener, router(Api::new(deps))).with_graceful_shutdown(async move {
        // An error means that whoever could say stop is gone.
        let _ = http_stop.wait_for(|stop| *stop).await;
    });
    let http = tokio::spawn(async move { server.await });
    if let Some(link) = mqtt.status.clone() {
        tokio::spawn(mqtt::follow_returns(link, Arc::clone(&reconciler), stop_seen.clone()));
    }
    let mqtt_addr = broker.local_addr();
    let courier = tokio::spawn(courier.run(stop_seen.clone()));
    let (ours, fleet) = (Arc::clone(&trust), Arc::clone(&reconciler));
    let housekeeping =
        housekeeping::start(config, books.clone(), ours, pki, mqtt, revoked, alarms, fleet, stop_seen);
    let books = books.clone();
    Ok(Running {
        courier,
        http_addr,
        mqtt_addr,
        enrolment_addr: enrolment.as_ref().map(|enrolment| enrolment.address),
        books,
        reconciler,
        trust,
        readiness,
        data_dir,
        broker,
        stopping,
        http,
        housekeeping,
        enrolment,
    })
}

/// Starts the enrolment listener, if there is to be one.
async fn enrol(
    config: &Config,
    pki: &Pki,
    desk: impl FnOnce(EnrolmentPolicy) -> Desk,
    time: Arc<dyn TimeProvider>,
    stop: watch::Receiver<bool>,
) -> Result<Option<EnrolmentListener>, StartError> {
    let Some(enrolment) = &config.enrolment else { return Ok(None) };
    let settings = EnrolmentSettings {
        listen: enrolment.listen,
        names: enrolment.server_names.clone(),
        grace: enrolment.renewal_grace,
        max_connections: usize::try_from(enrolment.max_connections).unwrap_or(usize::MAX),
        time,
    };
    let desk = desk(EnrolmentPolicy { life: enrolment.certificate, demonstration: config.demonstration });
    Ok(Some(EnrolmentListener::start(settings, pki.clone(), desk, stop).await?))
}

async fn reconcile(
    config: &Config,
    books: &Books,
    trust: &Arc<Trust>,
    mqtt: &mqtt::Started,
    inbox: Arc<LatestInbox>,
) -> Result<Reconciler, StartError> {
    let tokens = TokenPolicy {
        trust_domain: config.trust_domain.clone(),
        lease: config.tokens.lease,
        offline_budget: config.tokens.offline_budget,
    };
    let ledger = Arc::new(SigningLedger::new(books.clone(), Arc::clone(trust), tokens));
    let tick = if config.demonstration { Duration::from_millis(100) } else { Duration::from_secs(1) };
    let settings = Settings {
        trust_domain: config.trust_domain.clone(),
        retained: mqtt.retained,
        sweep: Duration::from_secs(config.limits.sweep.0),
        tick,
        publishes_in_flight: usize::try_from(config.limits.publishes_in_flight).unwrap_or(usize::MAX),
        publish_deadline: Duration::from_secs(config.limits.publish_deadline.0),
        nonce_interval: config.limits.nonce_interval,
    };
    Ok(Reconciler::start(settings, ledger, Arc::clone(&mqtt.broker), inbox, trust.subscribe()).await?)
}

impl Running {
    /// An operator says that the clock of the machine is right: signing goes on (token §3).
    ///
    /// # Errors
    /// The books do not answer.
    pub async fn confirm_time(&self) -> Result<(), StartError> {
        self.books.confirm_time().await?;
        self.reconciler.sweep();
        Ok(())
    }

    /// Waits until the API stops by itself, which it does only if something is badly wrong.
    pub async fn failed(&mut self) -> String {
        match (&mut self.http).await {
            Ok(Ok(())) => String::from("the HTTP listener stopped"),
            Ok(Err(error)) => format!("the HTTP listener failed: {error}"),
            Err(error) => format!("the HTTP listener crashed: {error}"),
        }
    }

    /// Stops everything, each part after those that use it. What was acknowledged is on disk.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if !self.http.is_finished() && tokio::time::timeout(HTTP_STOP_WITHIN, &mut self.http).await.is_err() {
            self.http.abort();
        }
        self.housekeeping.abort();
        // What is under way is repeated after the next start.
        self.courier.abort();
        drop(self.enrolment.take());
        self.reconciler.stop().await;
        self.broker.stop().await;
        self.books.close().await;
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("http_addr", &self.http_addr)
            .field("mqtt_addr", &self.mqtt_addr)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// How token keys come and go under this configuration.
#[must_use]
pub(crate) fn trust_policy(config: &Config) -> TrustPolicy {
    TrustPolicy {
        trust_domain: config.trust_domain.clone(),
        key_lifetime: config.tokens.key_lifetime,
        lease: config.tokens.lease,
        keep: config.tokens.offline_budget,
    }
}

/// Where private keys are under this configuration: files, systemd credentials, hardware.
#[must_use]
pub(crate) fn vault(config: &Config) -> Vault {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let vault = Vault::files(config.data_dir.join("keys")).with_credentials(credentials.clone());
    #[cfg(feature = "pkcs11")]
    if let Some(pkcs11) = &config.signer {
        let hsm = crate::signer::Hsm::new(crate::signer::HsmConfig {
            module: pkcs11.module.clone(),
            token_label: pkcs11.token_label.clone(),
            pin_file: pkcs11.pin_file.clone(),
            credentials,
        });
        return vault.with_hsm(hsm, pkcs11.keys.clone());
    }
    vault
}

/// Makes the data directory, readable by this user alone, or checks that it is so.
pub(crate) fn open_data_dir(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::DataDir { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    // Group access is left to the operator; the secrets in it are 0600 each.
    if mode & 0o007 != 0 {
        return Err(StartError::DataDirOpen { path: path.to_owned(), mode });
    }
    Ok(())
}
