//! `[limits]`: bounds on everything a client can make grow.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds on everything a client can make grow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message a client may send, after reassembly; 1009 above it. At least 125.
    pub message_bytes: usize,
    /// Largest request head of a handshake; 431 above it. 512 to 65536.
    pub handshake_bytes: usize,
    /// Time from accept to a complete handshake. At least 1 s.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Longest user id, in bytes; 1 to 255.
    pub user_id_bytes: usize,
    /// Backlog of one connection; the peer is closed with 3008 above it. At least 4096.
    pub outbox_bytes: usize,
    /// Backlog of all connections; 0 means an eighth of the RAM. The largest go first.
    pub outbox_total_bytes: usize,
    /// Half-received messages of all connections; 0 means an eighth of the RAM.
    pub assembly_total_bytes: usize,
    /// Connections in all; 0 means no limit but the descriptors.
    pub connections: usize,
    /// Largest body of an HTTP request; 413 above it.
    pub http_body_bytes: usize,
    /// Connections of one address (of one /64 with IPv6); 503 above it; 0 means no limit.
    pub connections_per_address: u32,
    /// Connections of one user on one app; the oldest is closed with 3504 above it; 0 means no limit.
    pub connections_per_user: usize,
    /// New connections a second in all, as many at once; 503 above it; 0 means no limit.
    pub handshakes_per_second: u64,
    /// New connections a second of one address; 429 above it; 0 means no limit.
    pub handshakes_per_second_per_address: u64,
    /// Messages a second of one client, each fragment counted; 0 means no limit.
    pub messages_per_second: u64,
    /// Bytes of messages a second of one client; 0 means no limit.
    pub bytes_per_second: u64,
    /// What becomes of messages above these two.
    pub excess: Excess,
    /// Time from the handshake to a login; 0 means no limit.
    #[serde(with = "humantime_serde")]
    pub login_timeout: Duration,
    /// Time from the first byte of a message to its last; 3008 after it; 0 means no limit.
    #[serde(with = "humantime_serde")]
    pub message_timeout: Duration,
    /// Memory that is kept free: below it nobody new is let in (503); 0 means a 32nd of the RAM.
    pub memory_reserve_bytes: usize,
}

/// What becomes of a message above the bounds of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Excess {
    /// The sender is closed with 3013.
    Close,
    /// It is thrown away and counted.
    Drop,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 65_536,
            handshake_bytes: 16_384,
            handshake_timeout: Duration::from_secs(10),
            user_id_bytes: 19,
            outbox_bytes: 262_144,
            outbox_total_bytes: 0,
            assembly_total_bytes: 0,
            connections: 0,
            http_body_bytes: 4_194_304,
            connections_per_address: 0,
            connections_per_user: 0,
            handshakes_per_second: 0,
            handshakes_per_second_per_address: 0,
            messages_per_second: 0,
            bytes_per_second: 0,
            excess: Excess::Close,
            login_timeout: Duration::ZERO,
            message_timeout: Duration::from_secs(30),
            memory_reserve_bytes: 0,
        }
    }
}
