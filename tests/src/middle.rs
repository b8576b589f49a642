//! Somebody between a device and its cloud: ends TLS with a certificate of his own, passes everything on, and listens.

use coterm_certs::Pki;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The one in the middle, and what he heard the device say.
#[derive(Debug)]
pub struct Middle {
    /// Where he listens.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Middle {
    /// Stands in front of this enrolment listener.
    ///
    /// # Panics
    /// He cannot listen.
    #[must_use]
    pub fn before(target: &str, dir: &Path) -> Middle {
        let pki = Pki::open_or_create(&dir.join("middle"), crate::operator::time).expect("a PKI");
        let identity = pki.server_identity(&["localhost".to_owned()]).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(identity.chain().to_vec(), identity.key())
            .expect("key and certificate fit");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (tls, target, notes) = (Arc::new(tls), target.to_owned(), Arc::clone(&heard));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // A device that hangs up is what he has to live with.
                let _ = relay(socket, &tls, &target, &notes);
            }
        });
        Middle { address, heard }
    }

    /// Everything devices said, question by question.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn relay(
    socket: TcpStream,
    tls: &Arc<ServerConfig>,
    target: &str,
    heard: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    let session = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
    let mut device = StreamOwned::new(session, socket);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut cloud = StreamOwned::new(session, TcpStream::connect(target)?);
    loop {
        let question = read(&mut device)?;
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        write(&mut cloud, &question)?;
        write(&mut device, &read(&mut cloud)?)?;
    }
}

fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(0).min(1 << 20)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes())?;
    stream.write_all(bytes)?;
    stream.flush()
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}
