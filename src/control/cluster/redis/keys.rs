//! The names of keys, as the reference has them; those that only millgate knows begin with `acc:millgate:`.

use crate::id::AppId;

/// Hash: `ip:rpcPort` → unix seconds of the last registration.
pub(in crate::control::cluster) const SERVERS: &str = "acc:hash:servers";

/// Hash: `ip:rpcPort` → id of the millgate node there.
pub(in crate::control::cluster) const NODES: &str = "acc:millgate:nodes";

/// Read to see whether Redis answers; never written.
pub(super) const PROBE: &str = "acc:millgate:probe";

/// String: where the node with this id is and when it started, as long as it lives.
pub(in crate::control::cluster) fn lease(id: &str) -> String {
    format!("acc:millgate:node:{id}")
}

/// String: a user's record.
pub(in crate::control::cluster) fn user(app: AppId, user: &str) -> String {
    format!("acc:user:online:{app}_{user}")
}

/// String: a message id that was seen.
pub(in crate::control::cluster) fn seen(msg_id: &str) -> String {
    format!("acc:submit:again:seq:{msg_id}")
}
