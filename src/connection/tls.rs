//! TLS of a connection over byte slices: no socket and no clock in here.
//!
//! The library's unbuffered interface keeps no bytes between two calls. An idle connection
//! owns its keys and nothing else; half a record is kept with the connection, and bounded there.

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Bytes that are encrypted at once: what fits a record.
pub(super) const RECORD_BYTES: usize = 16_384;

/// What encryption adds to a record, and room to spare.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The TLS side of one connection.
pub(super) struct Tls(UnbufferedServerConnection);

/// How far records could be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Understood {
    /// Bytes that are done with; the others are to be shown again, with more behind them.
    pub(super) used: usize,
    /// The peer will say nothing more.
    pub(super) peer_ended: bool,
}

impl Tls {
    /// The beginning of a handshake.
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Box<Self>, rustls::Error> {
        UnbufferedServerConnection::new(Arc::clone(config)).map(|tls| Box::new(Self(tls)))
    }

    /// Whether the handshake is still under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Takes in records: what they say is appended to `plain`, and what TLS itself has to
    /// answer to `sealed`, also in case of an error.
    pub(super) fn open(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        sealed: &mut Vec<u8>,
    ) -> Result<Understood, rustls::Error> {
        let mut understood = Understood { used: 0, peer_ended: false };
        loop {
            let status = self.0.process_tls_records(&mut incoming[understood.used..]);
            let mut discard = status.discard;
            let mut is_done = false;
            match status.state {
                Err(error) => {
                    self.seal_alert(sealed);
                    return Err(error);
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(sealed, RECORD_OVERHEAD_BYTES, |out| data.encode(out)).map_err(other)?;
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => understood.peer_ended = true,
                // Nothing more to be understood for now. Early data is not offered.
                Ok(_) => is_done = true,
            }
            understood.used += discard;
            if is_done {
                return Ok(understood);
            }
        }
    }

    /// What the peer is told when it was not understood, if anything.
    fn seal_alert(&mut self, sealed: &mut Vec<u8>) {
        while let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.0.process_tls_records(&mut []).state
        {
            if append(sealed, RECORD_OVERHEAD_BYTES, |out| data.encode(out)).is_err() {
                return;
            }
        }
    }

    /// Encrypts: appends records to `sealed`.
    ///
    /// # Errors
    /// When the handshake is not over, or the keys are worn out.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        let records = plain.len() / RECORD_BYTES + 1;
        let room = plain.len() + records * RECORD_OVERHEAD_BYTES;
        self.write(sealed, room, |traffic, out| traffic.encrypt(plain, out))
    }

    /// Says that nothing more will come.
    pub(super) fn seal_goodbye(&mut self, sealed: &mut Vec<u8>) -> io::Result<()> {
        self.write(sealed, RECORD_OVERHEAD_BYTES, |traffic, out| traffic.queue_close_notify(out))
    }

    fn write(
        &mut self,
        sealed: &mut Vec<u8>,
        room: usize,
        mut write: impl FnMut(&mut WriteTraffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        loop {
            match self.0.process_tls_records(&mut []).state {
                // Something of its own comes first: a ticket, new keys.
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(sealed, RECORD_OVERHEAD_BYTES, |out| data.encode(out))
                        .map_err(io::Error::other)?;
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return append(sealed, room, |out| write(&mut traffic, out))
                        .map_err(io::Error::other);
                }
                Ok(_) => return Err(io::ErrorKind::NotConnected.into()),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

fn other(error: EncodeError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// Appends what `encode` writes, for which it probably needs so much room, and
/// says so if it needs more.
fn append<E: TooSmall>(
    sealed: &mut Vec<u8>,
    room: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let start = sealed.len();
    sealed.resize(start + room, 0);
    let mut written = encode(&mut sealed[start..]);
    if let Some(needed) = written.as_ref().err().and_then(TooSmall::needed) {
        sealed.resize(start + needed, 0);
        written = encode(&mut sealed[start..]);
    }
    sealed.truncate(start + written.as_ref().map_or(0, |written| *written));
    written.map(|_| ())
}

/// An error that may be one of room.
trait TooSmall {
    /// The bytes that would do.
    fn needed(&self) -> Option<usize>;
}

impl TooSmall for EncodeError {
    fn needed(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl TooSmall for EncryptError {
    fn needed(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("is_handshaking", &self.is_handshaking()).finish()
    }
}
