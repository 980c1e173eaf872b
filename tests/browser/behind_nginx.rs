//! The page as the world sees it: behind nginx, with tokens.

use crate::chat::{listed, online, said};
use crate::driver::Driver;
use crate::server::Server;
use crate::support::nginx::{HTTP, Nginx};
use crate::tokens::{settings, token};

/// The shipped file in front of this server, with the lines that it has for tokens.
fn in_front_of(server: &Server) -> Nginx {
    let (websocket, http) = server.addresses();
    let text = HTTP
        .replace("server unix:/run/millgate/websocket.sock;", &format!("server {websocket};"))
        .replace("127.0.0.1:8080", &http.to_string());
    let (before, after) =
        text.split_once("    # location = /user/list {").expect("lines for tokens");
    let (block, rest) = after.split_once("    # }\n").expect("they end");
    let block = block.replace("    # ", "    ");
    Nginx::http(&format!("{before}    location = /user/list {{{block}    }}\n{rest}"))
}

#[tokio::test]
async fn a_reload_of_the_proxy_costs_a_moment() {
    let mut server = Server::start(&[]);
    let nginx = in_front_of(&server);
    let mut settings = settings();
    // This test reads the metrics, and has no key.
    settings.retain(|setting| !setting.starts_with("auth.keys"));
    settings.push(format!("page.websocket_url=ws://{}/acc", nginx.address));
    server.stop();
    server.start_again_with(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    let driver = Driver::start();
    let page = |user: &str| {
        format!("http://{}/home/index?appID=101#token={}", nginx.address, token(user, 101, 600))
    };
    let a = driver.open(&page("ann")).await;
    assert_eq!(online(&a).await, "ann");
    let b = driver.open(&page("bob")).await;
    assert_eq!(online(&b).await, "bob");
    a.until(&listed("bob")).await;
    b.until(&listed("ann")).await;
    a.enter("#text", "before").await;
    b.until(&said("theirs", "before")).await;

    nginx.reload();
    // The old workers end a second later; both pages come back through the new ones.
    while server.metric("millgate_handshakes_total") < 4.0 {
        tokio::task::yield_now().await;
    }
    online(&a).await;
    online(&b).await;
    a.until(&listed("bob")).await;
    b.enter("#text", "after").await;
    a.until(&said("theirs", "after")).await;
    a.leave().await;
    b.leave().await;
}
