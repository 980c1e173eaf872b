//! Orders of operators, as they travel between nodes.

use super::proto::relay::kick_request::Whom as Meant;
use super::proto::relay::{KickRequest, UserName};
use crate::id::{AppId, UserId};
use crate::limits::USER_ID_BYTES_MAX;
use crate::link::{Kick, Whom};
use crate::websocket::close;

/// A kick as other nodes are asked for it; `None` if it is about one connection, which
/// only its own node has.
pub(super) fn kick_request(kick: &Kick) -> Option<KickRequest> {
    let whom = match &kick.whom {
        Whom::Conn { .. } => return None,
        Whom::User { app, user } => {
            Meant::User(UserName { app: app.map(|app| app.0), user: user.to_string() })
        }
        Whom::App(app) => Meant::App(app.0),
        Whom::Network(network) => Meant::Network(network.to_string()),
    };
    Some(KickRequest { whom: Some(whom), reason: kick.reason.clone() })
}

/// The same on the other side; `None` if nobody is meant, or somebody whom only newer nodes know.
pub(super) fn kick_of(request: KickRequest) -> Option<Kick> {
    let whom = match request.whom? {
        Meant::User(UserName { app, user }) if user.len() <= USER_ID_BYTES_MAX => {
            Whom::User { app: app.map(AppId), user: UserId::from(user) }
        }
        Meant::User(_) => return None,
        Meant::App(app) => Whom::App(AppId(app)),
        Meant::Network(network) => Whom::Network(network.parse().ok()?),
    };
    // Older nodes send reasons of any length; it goes to the log and into a close frame.
    Some(Kick { whom, reason: close::cut(&request.reason).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kick_arrives_as_it_was_ordered() {
        let user = |app| Whom::User { app, user: "ann".into() };
        let networks = ["10.0.0.0/8", "2001:db8::1"].map(|text| text.parse().unwrap());
        let all = [user(None), user(Some(AppId(7))), Whom::App(AppId(7))];
        for whom in all.into_iter().chain(networks.map(Whom::Network)) {
            let kick = Kick { whom, reason: "see you".into() };
            assert_eq!(kick_of(kick_request(&kick).unwrap()), Some(kick));
        }
    }

    #[test]
    fn a_reason_is_cut_to_what_a_close_frame_carries() {
        let whom = Some(Meant::App(7));
        let kick = kick_of(KickRequest { whom, reason: "é".repeat(5_000) }).unwrap();
        assert_eq!(kick.reason, "é".repeat(61));
    }

    #[test]
    fn a_connection_is_known_to_its_own_node_alone() {
        let kick = Kick { whom: Whom::Conn { slot: 1, serial: 2 }, reason: String::new() };
        assert_eq!(kick_request(&kick), None);
    }

    #[test]
    fn what_means_nobody_is_no_kick() {
        let of = |whom| kick_of(KickRequest { whom, reason: String::new() });
        assert_eq!(of(None), None);
        assert_eq!(of(Some(Meant::Network("everywhere".into()))), None);
        let named = |len| of(Some(Meant::User(UserName { app: None, user: "u".repeat(len) })));
        assert!(named(USER_ID_BYTES_MAX).is_some() && named(USER_ID_BYTES_MAX + 1).is_none());
    }
}
