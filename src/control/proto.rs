//! What `build.rs` makes of `proto/`.

/// The calls of gowebsocket's nodes.
#[allow(
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated"
)]
pub(super) mod acc {
    tonic::include_proto!("protobuf");
}

/// Batches between nodes of millgate.
#[allow(
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated"
)]
pub(super) mod relay {
    tonic::include_proto!("millgate.relay.v1");
}
