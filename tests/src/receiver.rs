//! Those who are told: a mail server and the receiver of a webhook, over real sockets, as obliging as a test wants them.
//!
//! Both speak just enough of their protocols, write down what they get, and can be told to refuse, to put off, to hang, or to
//! send elsewhere. How a mail server speaks is in [`mail_server`](crate::mail_server). **Deliberately absent:** TLS of web servers, which
//! the programs' own tests cover.

use crate::mail_server::MailServer;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How a receiver behaves from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It takes what comes.
    Takes,
    /// It answers with this: a status of HTTP, or a reply of SMTP to the recipient.
    Answers(u16),
    /// It redirects to this URL.
    Redirects(String),
    /// A mail server's reply to the whole message, after it has read it.
    AnswersData(u16),
    /// It says nothing.
    Hangs,
    /// A mail server says nothing after it has read the whole message.
    HangsAfterData,
}

/// What a receiver got: a mail as it was sent, or a request with its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Names (in lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Got {
    /// The value of a header, empty without it.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A receiver that listens until the test ends.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Vec<Got>>>,
    read: Arc<Mutex<Vec<Got>>>,
    asked: Arc<Mutex<usize>>,
}

impl Receiver {
    /// A receiver of webhooks.
    #[must_use]
    pub fn web() -> Receiver {
        Receiver::start(Receiver::serve_web)
    }

    /// A mail server.
    #[must_use]
    pub fn mail() -> Receiver {
        Receiver::mail_with(MailServer::default())
    }

    /// A mail server that is as careful as this.
    #[must_use]
    pub fn mail_with(server: MailServer) -> Receiver {
        Receiver::start(move |receiver, stream| server.serve(receiver, stream))
    }

    fn start(
        serve: impl Fn(&Receiver, TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver {
            address,
            mood: Arc::new(Mutex::new(Mood::Takes)),
            got: Arc::default(),
            read: Arc::default(),
            asked: Arc::default(),
        };
        let ours = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (receiver, serve) = (ours.clone(), serve.clone());
                // A client that goes away is no news.
                thread::spawn(move || drop(serve(&receiver, stream)));
            }
        });
        receiver
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its URL, if it is one for webhooks.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Behaves so from now on.
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    pub(crate) fn mood(&self) -> Mood {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it took.
    #[must_use]
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a mail server read to the end, whatever it answered.
    #[must_use]
    pub fn read(&self) -> Vec<Got> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, read: Got) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).push(read);
    }

    /// How often it was asked, whatever it answered.
    #[must_use]
    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    pub(crate) fn take(&self, got: Got) {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(got);
    }

    fn serve_web(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let headers = headers(&mut reader)?;
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        self.count();
        let mut stream = stream;
        match self.mood() {
            Mood::Takes => {
                self.take(Got { headers, body });
                write!(stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            }
            Mood::Answers(status) => {
                write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            }
            Mood::Redirects(to) => {
                write!(
                    stream,
                    "HTTP/1.1 307 Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
            }
            Mood::Hangs | Mood::HangsAfterData => self.hang(),
            Mood::AnswersData(_) => Ok(()),
        }
    }

    /// Says nothing until it is told to behave otherwise.
    pub(crate) fn hang(&self) -> std::io::Result<()> {
        while matches!(self.mood(), Mood::Hangs | Mood::HangsAfterData) {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Header lines up to the empty one; continued lines are joined.
pub(crate) fn headers(reader: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(found);
        }
        match (text.starts_with([' ', '\t']), text.split_once(':'), found.last_mut()) {
            (true, _, Some((_, value))) => value.push_str(text),
            (_, Some((name, value)), _) => {
                found.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            (_, None, _) => {}
        }
    }
}

/// HMAC-SHA256 as RFC 2104 has it, to check signatures with something else than what made them.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// Base64 without any library, to check what one made.
///
/// # Panics
/// It is none.
#[must_use]
pub fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = ALPHABET.iter().position(|known| *known == c).expect("base64");
        bits = (bits << 6) | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
