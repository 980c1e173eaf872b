//! Settings that are valid and still dangerous.

use super::{Config, Listener, Place};

impl Config {
    /// What an operator should know about a valid configuration, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let listen = &self.listen;
        let is_open = |listener: &&Listener| match &listener.place {
            Place::Tcp(address) => listener.proxy && !address.ip().is_loopback(),
            // The permissions of the file say who may connect.
            Place::Unix { .. } => false,
        };
        let open = listen.websocket.iter().filter(is_open);
        open.filter(|_| listen.trusted_proxies.is_empty())
            .map(|listener| {
                format!(
                    "listen.websocket: \"{listener}\" believes the PROXY header of every peer, so each client \
                     can invent its address; name the proxies in listen.trusted_proxies"
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(websocket: &str, trusted: &[&str]) -> Vec<String> {
        let mut config = Config::default();
        config.listen.websocket = serde_json::from_value(websocket.into()).unwrap();
        config.listen.trusted_proxies = trusted.iter().map(|&entry| entry.to_owned()).collect();
        config.warnings()
    }

    #[test]
    fn a_proxy_listener_that_believes_everybody_is_named() {
        let said = warnings("0.0.0.0:8090 proxy", &[]);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("\"0.0.0.0:8090 proxy\""), "{said:?}");
        assert!(said[0].contains("listen.trusted_proxies"), "{said:?}");
    }

    #[test]
    fn listeners_that_strangers_cannot_reach_or_spoof_are_not() {
        assert_eq!(warnings("0.0.0.0:8090 proxy", &["10.0.0.7"]), [""; 0]);
        assert_eq!(warnings("127.0.0.1:8090 proxy", &[]), [""; 0]);
        assert_eq!(warnings("unix:/run/millgate/ws.sock proxy", &[]), [""; 0]);
        assert_eq!(warnings("0.0.0.0:8089", &[]), [""; 0]);
    }
}
