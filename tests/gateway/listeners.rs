//! How clients come in: several listeners, unix sockets, behind proxies, over TLS.

mod api;
mod forwarded;
mod health_checks;
mod proxy;
mod several;
mod tls;
mod unix;

use crate::support::{Client, Node};
use serde_json::Value;

/// What the node takes its clients for, by address.
pub(crate) fn clients(node: &Node) -> Vec<String> {
    let state = node.get_data("/system/state?isDebug=true");
    let list = state["managerInfo"]["clients"].as_array().expect("a list");
    let mut clients: Vec<String> =
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    clients.sort();
    clients
}

/// The address that the kernel has given to this end.
pub(crate) fn own_address(client: &Client) -> String {
    client.socket().local_addr().expect("connected").to_string()
}

/// One cause of ends, counted.
pub(crate) fn ended(node: &Node, cause: &str) -> f64 {
    node.metric(&format!("millgate_closes_total{{cause=\"{cause}\"}}"))
}
