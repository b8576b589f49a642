//! A mail server that speaks just enough SMTP: in the clear, with STARTTLS, or with TLS from the first byte, to anybody or to
//! who logs in.
//!
//! What it reads and how it answers is kept by the [`Receiver`] it belongs to.

use crate::receiver::{Got, Mood, Receiver, base64, headers};
use coterm_certs::Identity;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// How careful a mail server is.
#[derive(Clone, Debug, Default)]
pub struct MailServer {
    /// Its certificate, and whether it speaks TLS from the first byte instead of after STARTTLS.
    pub tls: Option<(Arc<ServerConfig>, bool)>,
    /// The user name and password it wants.
    pub login: Option<(String, String)>,
}

/// How a conversation goes on.
enum Next {
    /// It is over.
    Over,
    /// It goes on under TLS.
    Secured,
}

impl MailServer {
    /// One with this certificate that wants a login.
    ///
    /// # Panics
    /// The key does not fit.
    #[must_use]
    pub fn secured(identity: &Identity, from_the_first_byte: bool, login: (&str, &str)) -> MailServer {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(identity.chain().to_vec(), identity.key())
            .expect("key and certificate fit");
        let (user, password) = login;
        MailServer {
            tls: Some((Arc::new(config), from_the_first_byte)),
            login: Some((user.to_owned(), password.to_owned())),
        }
    }

    pub(crate) fn serve(&self, receiver: &Receiver, stream: TcpStream) -> io::Result<()> {
        let Some((config, at_once)) = &self.tls else { return self.talk(receiver, stream, true).map(drop) };
        let mut stream = stream;
        if !at_once {
            let (next, plain) = self.talk(receiver, stream, true)?;
            let Next::Secured = next else { return Ok(()) };
            stream = plain;
        }
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        self.talk(receiver, StreamOwned::new(session, stream), *at_once).map(drop)
    }

    /// One conversation; who may log in and send is decided before.
    fn talk<S: Read + Write>(&self, receiver: &Receiver, stream: S, greets: bool) -> io::Result<(Next, S)> {
        // Who does not greet goes on after STARTTLS.
        let secured = !greets || self.tls.as_ref().is_none_or(|(_, at_once)| *at_once);
        let mut known = self.login.is_none();
        let mut line = BufReader::new(stream);
        if greets {
            say(&mut line, "220 test ESMTP")?;
        }
        loop {
            let mut said = String::new();
            if line.read_line(&mut said)? == 0 {
                return Ok((Next::Over, line.into_inner()));
            }
            let verb = said.split([' ', ':', '\r']).next().unwrap_or_default().to_ascii_uppercase();
            match (verb.as_str(), receiver.mood()) {
                ("EHLO", _) if !secured => say(&mut line, "250-test\r\n250 STARTTLS")?,
                ("EHLO", _) if !known => say(&mut line, "250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME")?,
                ("EHLO", _) => say(&mut line, "250-test\r\n250 8BITMIME")?,
                ("STARTTLS", _) if !secured => {
                    say(&mut line, "220 go on")?;
                    return Ok((Next::Secured, line.into_inner()));
                }
                ("AUTH", _) if secured => {
                    known = self.lets_in(said.trim_end());
                    say(&mut line, if known { "235 welcome" } else { "535 5.7.8 no such user or password" })?;
                }
                ("QUIT", _) => {
                    say(&mut line, "221 bye")?;
                    return Ok((Next::Over, line.into_inner()));
                }
                ("NOOP" | "RSET", _) => say(&mut line, "250 ok")?,
                (_, _) if !secured || !known => say(&mut line, "530 5.7.0 not without TLS and login")?,
                ("RCPT", Mood::Answers(code)) => {
                    receiver.count();
                    say(&mut line, &format!("{code} so"))?;
                }
                ("RCPT", Mood::Hangs) => {
                    receiver.count();
                    receiver.hang()?;
                    return Ok((Next::Over, line.into_inner()));
                }
                ("RCPT", _) => {
                    receiver.count();
                    say(&mut line, "250 ok")?;
                }
                ("DATA", _) => {
                    say(&mut line, "354 go on")?;
                    let got = Got { headers: headers(&mut line)?, body: mail_body(&mut line)? };
                    receiver.note(got.clone());
                    match receiver.mood() {
                        Mood::AnswersData(code) => say(&mut line, &format!("{code} so"))?,
                        Mood::HangsAfterData => {
                            receiver.hang()?;
                            return Ok((Next::Over, line.into_inner()));
                        }
                        Mood::Takes | Mood::Answers(_) | Mood::Redirects(_) | Mood::Hangs => {
                            receiver.take(got);
                            say(&mut line, "250 taken")?;
                        }
                    }
                }
                (_, _) => say(&mut line, "250 ok")?,
            }
        }
    }

    /// Whether `AUTH PLAIN` has the right user name and password.
    fn lets_in(&self, said: &str) -> bool {
        let Some((user, password)) = &self.login else { return true };
        let given = said.strip_prefix("AUTH PLAIN ").map(base64).unwrap_or_default();
        given == format!("\0{user}\0{password}").into_bytes()
    }
}

fn say<S: Read + Write>(line: &mut BufReader<S>, text: &str) -> io::Result<()> {
    let stream = line.get_mut();
    stream.write_all(text.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.flush()
}

/// The lines of a mail up to the dot, soft line breaks of quoted-printable joined.
fn mail_body(reader: &mut impl BufRead) -> io::Result<String> {
    let mut body = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end() == "." {
            return Ok(body.replace("=\r\n", "").replace("=3D", "="));
        }
        body.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
