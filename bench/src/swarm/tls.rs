//! TLS on a client's side, for `wss://`.
//!
//! Any certificate is taken: the lab measures servers, it does not guard anybody's
//! secrets. Sessions are not resumed, so every connection costs the server a whole handshake.

use super::conn::Conn;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What all clients of a worker speak TLS with.
pub(super) fn configuration() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols.push(b"http/1.1".to_vec());
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The TLS side of one client.
#[derive(Debug)]
pub(super) struct Tls(ClientConnection);

impl Tls {
    /// Nothing has been said yet. `authority` is the host, with a port or without.
    pub(super) fn new(config: &Arc<ClientConfig>, authority: &str) -> io::Result<Box<Self>> {
        let host = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let host = host.map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        // What the kernel does not take is bounded by who writes.
        tls.set_buffer_limit(None);
        Ok(Box::new(Self(tls)))
    }

    /// Whether something of TLS waits until the kernel takes bytes again.
    pub(super) fn waits(&self) -> bool {
        self.0.wants_write()
    }

    /// Reads until the buffer is full or the socket has nothing more, as a read
    /// of the socket itself would.
    fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.0.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) if filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
            match self.0.read_tls(socket) {
                Ok(0) if filled == 0 => return Ok(0),
                Ok(_) => {}
                Err(_) if filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
            self.0.process_new_packets().map_err(io::Error::other)?;
            self.flush(socket)?;
        }
    }

    /// Takes all or nothing: nothing while the kernel does not take what waits already.
    fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        if !self.0.is_handshaking() && self.flush(socket).map(|()| self.waits())? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.0.writer().write(bytes)?;
        self.flush(socket)?;
        Ok(taken)
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Conn {
    /// Reads what the server says, through TLS if that is spoken.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::WouldBlock.into()) };
        match self.rest.as_mut().and_then(|rest| rest.tls.as_mut()) {
            None => socket.read(buffer),
            Some(tls) => tls.read(socket, buffer),
        }
    }

    /// Says something to the server, through TLS if that is spoken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::WouldBlock.into()) };
        match self.rest.as_mut().and_then(|rest| rest.tls.as_mut()) {
            None => socket.write(bytes),
            Some(tls) => tls.write(socket, bytes),
        }
    }

    /// Writes what TLS has waiting, if it is spoken.
    pub(super) fn flush_tls(&mut self) -> io::Result<()> {
        let tls = self.rest.as_mut().and_then(|rest| rest.tls.as_mut());
        match (&mut self.socket, tls.filter(|tls| tls.waits())) {
            (Some(socket), Some(tls)) => tls.flush(socket),
            _ => Ok(()),
        }
    }
}

/// Takes every certificate, and checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
