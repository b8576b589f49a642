//! One connection to the enrolment listener: framed questions and answers over TLS 1.3.

use super::ExchangeError;
use coterm_shared::token::{MAX_ANSWER_BYTES, Request};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// For connecting and for every read and write.
const PATIENCE: Duration = Duration::from_secs(15);

/// Host and port of an enrolment listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl std::str::FromStr for Server {
    type Err = ExchangeError;

    fn from_str(text: &str) -> Result<Server, ExchangeError> {
        let wrong = || ExchangeError::Address(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if ServerName::try_from(host.as_str()).is_err() {
            return Err(wrong());
        }
        Ok(Server { host, port })
    }
}

/// An open connection.
pub(crate) struct Talk {
    stream: StreamOwned<ClientConnection, TcpStream>,
    server: String,
    /// The SHA-256 of the certificate the other side showed.
    pub(crate) certificate: [u8; 32],
}

impl Talk {
    /// Connects and shakes hands.
    pub(crate) fn open(server: &Server, tls: ClientConfig) -> Result<Talk, ExchangeError> {
        let network = |error| ExchangeError::Network { server: server.to_string(), error };
        let refused = |error| ExchangeError::Tls { server: server.to_string(), error };
        let mut tcp = connect(server).map_err(network)?;
        tcp.set_read_timeout(Some(PATIENCE)).map_err(network)?;
        tcp.set_write_timeout(Some(PATIENCE)).map_err(network)?;
        tcp.set_nodelay(true).map_err(network)?;
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| ExchangeError::Address(server.to_string()))?;
        let mut connection = ClientConnection::new(Arc::new(tls), name).map_err(refused)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).map_err(|error| explain(error, server))?;
        }
        let leaf = connection.peer_certificates().and_then(|chain| chain.first());
        let certificate = Sha256::digest(leaf.ok_or_else(|| refused(Error::NoCertificatesPresented))?).into();
        Ok(Talk { stream: StreamOwned::new(connection, tcp), server: server.to_string(), certificate })
    }

    /// Asks one thing; the answer is not believed yet.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Vec<u8>, ExchangeError> {
        self.exchange(&request.encode())
            .map_err(|error| ExchangeError::Network { server: self.server.clone(), error })
    }

    fn exchange(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(question.len()).unwrap_or(0);
        self.stream.write_all(&length.to_be_bytes())?;
        self.stream.write_all(question)?;
        self.stream.flush()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        // A hello's answer carries documents besides the signed part, of which each is bounded again.
        if length > MAX_ANSWER_BYTES.saturating_mul(8) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn connect(server: &Server) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn explain(error: io::Error, server: &Server) -> ExchangeError {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
    match of_tls {
        Some(error) => ExchangeError::Tls { server: server.to_string(), error },
        None => ExchangeError::Network { server: server.to_string(), error },
    }
}

/// TLS for a device that knows no authority yet: whoever answers is only asked who it is, and its answer must name the
/// certificate it shows here.
pub(crate) fn anonymous() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unknown(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes any certificate whose key the other side has: the signature of the handshake is verified, the name is not.
#[derive(Debug)]
struct Unknown(Arc<CryptoProvider>);

impl ServerCertVerifier for Unknown {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (text, expect) in [("a.b:8884", "a.b:8884"), ("127.0.0.1:1", "127.0.0.1:1"), ("[::1]:9", "::1:9")]
        {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), expect);
        }
        for bad in ["", "a", "a:", ":1", "a:0", "a:70000", "a b:1"] {
            assert!(bad.parse::<Server>().is_err(), "{bad}");
        }
    }
}
