//! Mail, by SMTP, through the one server the configuration names.
//!
//! Every message has a plain and an HTML part that say the same, and a Message-ID made of the notice and the endpoint, the
//! same in every repetition. A connection for each message: notices are few. The password is read for each as well, so
//! that it can be changed under a running daemon.

use super::{Outcome, Parcel, Way};
use crate::ports::BoxFuture;
use coterm_certs::read_secret_file;
use lettre::address::AddressError;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The longest wait for one answer of the server.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The longest that a message takes altogether; the thread it hangs on counts as busy until it returns.
const WITHIN: Duration = Duration::from_secs(60);

/// How the connection to the mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, or no mail.
    StartTls,
    /// Not at all; to this machine only.
    None,
}

/// The mail server and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// Its name, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub security: Security,
    /// The sender.
    pub from: String,
    /// The user name, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Authorities trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// The way to mail addresses.
#[derive(Debug)]
pub struct Mail {
    settings: Arc<MailSettings>,
}

impl Mail {
    /// The way by this server.
    #[must_use]
    pub fn new(settings: MailSettings) -> Mail {
        Mail { settings: Arc::new(settings) }
    }

    /// Whether the server answers and takes our login; for `coterm-cloud check`.
    ///
    /// # Errors
    /// What does not work, in a sentence.
    pub fn check(settings: &MailSettings) -> Result<(), String> {
        match transport(settings)?.test_connection() {
            Ok(true) => Ok(()),
            Ok(false) => Err(String::from("the mail server does not answer NOOP")),
            Err(error) => Err(in_words(&error)),
        }
    }
}

/// Whether an address can be the sender.
///
/// # Errors
/// If it is no mailbox.
pub fn check_sender(text: &str) -> Result<(), AddressError> {
    text.parse::<Mailbox>().map(|_| ())
}

impl Way for Mail {
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Outcome> {
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            let sending = tokio::task::spawn_blocking(move || send(&settings, &parcel));
            match tokio::time::timeout(WITHIN, sending).await {
                Ok(sent) => sent.unwrap_or_else(|_| Outcome::failed("the message crashed")),
                Err(_) => Outcome::Unreachable { error: String::from("the mail server takes too long") },
            }
        })
    }
}

fn send(settings: &MailSettings, parcel: &Parcel) -> Outcome {
    let transport = match transport(settings) {
        Ok(transport) => transport,
        Err(error) => return Outcome::Unreachable { error },
    };
    let message = match message(settings, parcel) {
        Ok(message) => message,
        Err(error) => return Outcome::Refused { error },
    };
    match transport.send(&message) {
        Ok(_) => Outcome::Delivered,
        Err(error) => {
            let code = error.status().map(u16::from);
            let told = in_words(&error);
            match code {
                // What it says of our login or of itself is not about the recipient.
                None | Some(421 | 454 | 530 | 534 | 535 | 538) => Outcome::Unreachable { error: told },
                Some(500..) => Outcome::Refused { error: told },
                Some(_) => Outcome::failed(told),
            }
        }
    }
}

fn in_words(error: &lettre::transport::smtp::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let mut told = format!("{error}{cause}").replace(char::is_control, " ");
    if let Some((end, _)) = told.char_indices().nth(300) {
        told.truncate(end);
    }
    told
}

fn transport(settings: &MailSettings) -> Result<SmtpTransport, String> {
    let tls = || -> Result<TlsParameters, String> {
        let mut parameters = TlsParameters::builder(settings.host.clone());
        if let Some(file) = &settings.ca_file {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let pem = std::fs::read(file).map_err(|error| failed(&error))?;
            let authority = Certificate::from_pem(&pem).map_err(|error| failed(&error))?;
            parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(authority);
        }
        parameters.build_rustls().map_err(|error| in_words(&error))
    };
    let tls = match settings.security {
        Security::Tls => Tls::Wrapper(tls()?),
        Security::StartTls => Tls::Required(tls()?),
        Security::None => Tls::None,
    };
    let domain = domain_of(&settings.from).unwrap_or_else(|| String::from("localhost"));
    let mut transport = SmtpTransport::builder_dangerous(settings.host.clone())
        .port(settings.port)
        .tls(tls)
        .hello_name(ClientId::Domain(domain))
        .timeout(Some(ANSWER_WITHIN));
    if let Some((user, file)) = &settings.login {
        let password = read_secret_file(file).map_err(|error| error.to_string())?;
        let password =
            std::str::from_utf8(&password).map_err(|_| format!("{}: not a text", file.display()))?;
        transport = transport.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
    }
    Ok(transport.build())
}

fn domain_of(from: &str) -> Option<String> {
    let mailbox: Mailbox = from.parse().ok()?;
    Some(mailbox.email.domain().to_owned())
}

/// Nobody's holiday reply is wanted (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), String::from("auto-generated"))
    }
}

fn message(settings: &MailSettings, parcel: &Parcel) -> Result<Message, String> {
    let Parcel { endpoint, notice, body, now } = parcel;
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| error.to_string());
    let domain = domain_of(&settings.from).unwrap_or_else(|| String::from("localhost"));
    let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(now.as_secs()));
    Message::builder()
        .from(mailbox(&settings.from)?)
        .to(mailbox(&endpoint.address)?)
        .subject(body.subject())
        .message_id(Some(format!("<{}.{}@{domain}>", notice.id, endpoint.id)))
        .date(date.unwrap_or(SystemTime::UNIX_EPOCH))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(
            body.plain(notice, endpoint),
            body.html(notice, endpoint),
        ))
        .map_err(|error| error.to_string())
}
