//! The page as the world sees it: behind nginx, with tokens.

use crate::chat::{listed, online, said};
use crate::driver::Driver;
use crate::server::Server;
use crate::support::nginx::{HTTP, Nginx};
use crate::tokens::{settings, token};
use serde_json::json;

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

/// The shipped file as it is.
fn shipped(server: &Server) -> Nginx {
    let (websocket, http) = server.addresses();
    let text = HTTP
        .replace("server unix:/run/millgate/websocket.sock;", &format!("server {websocket};"))
        .replace("127.0.0.1:8080", &http.to_string());
    Nginx::http(&text)
}

#[tokio::test]
async fn a_page_says_what_its_proxy_keeps_back() {
    let server = Server::start(&[]);
    let nginx = shipped(&server);
    let driver = Driver::start();
    let page = driver.open(&format!("http://{}/home/index?appID=101", nginx.address)).await;
    let name = online(&page).await;
    page.until(".//ul[@id='trouble-list']/li[contains(., 'GET /user/list (HTTP 404)')]").await;
    page.until(".//ul[@id='trouble-list']/li[contains(., 'POST /user/sendMessageAll (HTTP 404)')]")
        .await;
    page.see("#composer[hidden]").await;
    page.see("#read-only:not([hidden])").await;
    // What is known without the list: oneself, and who comes.
    page.until(&listed(&name)).await;
    let _visitor = server.visitor(101, "robin");
    page.until(&listed("robin")).await;
    server.say(101, "robin", "can you read this?");
    page.until(&said("theirs", "can you read this?")).await;
    page.leave().await;
}

#[tokio::test]
async fn a_page_behind_a_proxy_talks_without_tokens_where_clients_may() {
    let server = Server::start(&["auth.send_without_token=true"]);
    let nginx = shipped(&server);
    let driver = Driver::start();
    let open =
        async || driver.open(&format!("http://{}/home/index?appID=101", nginx.address)).await;
    let (a, b) = (open().await, open().await);
    online(&a).await;
    online(&b).await;
    a.enter("#text", "through the socket").await;
    b.until(&said("theirs", "through the socket")).await;
    a.see("#trouble:not([hidden])").await;
    a.until("not(.//ul[@id='trouble-list']/li[contains(., 'POST')])").await;
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn pages_work_below_a_path() {
    let server = Server::start(&[]);
    let (websocket, http) = server.addresses();
    let nginx = Nginx::http(&format!(
        "server {{ listen 80;
           location /gw/ {{ proxy_pass http://{http}/; proxy_set_header Host $http_host; }}
           location = /gw/acc {{ proxy_pass http://{websocket}/acc; proxy_http_version 1.1;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}"
    ));
    let driver = Driver::start();
    let open = async |path: &str| driver.open(&format!("http://{}{path}", nginx.address)).await;
    let a = open("/gw/home/index?appID=102").await;
    let name = online(&a).await;
    let b = open("/gw/home/index").await;
    online(&b).await;
    b.click(".bar nav a[href='index?appID=102']").await;
    online(&b).await;
    b.until(&listed(&name)).await;
    b.enter("#text", "below a path").await;
    a.until(&said("theirs", "below a path")).await;
    let url = a.run("return performance.getEntriesByType('resource').every((entry) => new URL(entry.name).pathname.startsWith('/gw/'))").await;
    assert_eq!(url, json!(true));
    assert_eq!(a.console().await, Vec::<String>::new());
    let docs = open("/gw/docs").await;
    docs.until(".//section//code[.='/user/list']").await;
    let admin = open("/gw/admin").await;
    admin.see("#ready-text").await;
    for page in [a, b, docs, admin] {
        page.leave().await;
    }
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
