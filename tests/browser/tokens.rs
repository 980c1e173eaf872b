//! The page where nobody is trusted: a token to come in, messages over the WebSocket.

use crate::chat::{listed, noted, online, said};
use crate::driver::{Driver, Page};
use crate::server::Server;
use millgate::auth::{Issuer, Order, new_key};
use millgate::config::{Jwt, Scopes, Secret};
use serde_json::json;

const SECRET: &str = "a secret of thirty-two bytes or so";

pub fn token(user: &str, app: u32, seconds: u64) -> String {
    let jwt = Jwt { secret: Secret::from(SECRET), ..Jwt::default() };
    let order = Order { user: user.into(), apps: vec![app], ttl_seconds: seconds, key_id: None };
    Issuer::new(&jwt, None).unwrap().sign(&order, millgate::clock::unix_seconds()).unwrap()
}

/// Tokens and keys on, so that the API has nothing for who has neither.
pub fn settings() -> Vec<String> {
    let (_, line) = new_key("back-end", Scopes::parse("read+send").unwrap()).unwrap();
    let secret = format!("auth.jwt.secret={SECRET}");
    vec![secret, "auth.jwt.leeway=0s".to_owned(), format!("auth.keys=[\"{line}\"]")]
}

fn server() -> Server {
    Server::start(&settings().iter().map(String::as_str).collect::<Vec<_>>())
}

/// Keeps a picture of the page where somebody wants to look at it.
async fn picture(page: &Page, name: &str) {
    let Some(folder) = std::env::var_os("MILLGATE_PICTURES") else { return };
    let still = "for (const move of document.getAnimations()) \
                 if (move.effect.getTiming().iterations !== Infinity) move.finish()";
    page.run(still).await;
    let image = page.screenshot().await.expect("a picture");
    std::fs::write(std::path::Path::new(&folder).join(name), image).expect("written");
}

#[tokio::test]
async fn two_people_with_tokens_chat() {
    let (server, driver) = (server(), Driver::start());
    let a = driver.open(&server.page(101)).await;
    a.see("#state[data-state=stopped]").await;
    a.see("#token-form:not([hidden])").await;
    picture(&a, "asked.png").await;
    a.enter("#token", "no token").await;
    a.until(".//p[@id='token-error'][contains(., 'This is no token')]").await;
    a.enter("#token", &token("ann", 102, 600)).await;
    a.until(".//p[@id='token-error'][contains(., 'does not take this token')]").await;
    picture(&a, "refused.png").await;
    a.enter("#token", &token("ann", 101, 600)).await;
    assert_eq!(online(&a).await, "ann", "the token says who it is");
    a.see("#token-form[hidden]").await;

    // By a link, out of which the token is taken.
    let b = driver.open(&format!("{}#token={}", server.page(101), token("bob", 101, 600))).await;
    online(&b).await;
    assert!(!b.current_url().await.unwrap().as_str().contains("token"), "out of the address bar");
    a.until(&noted("bob came in")).await;
    a.until(&listed("bob")).await;
    b.until(&listed("ann")).await;

    a.enter("#text", "hello <b>all</b>").await;
    b.until(&said("theirs", "hello <b>all</b>")).await;
    a.until(&said("mine", "hello <b>all</b>")).await;
    assert_eq!(b.text("article.theirs .who").await, "ann");
    b.click("[data-name='ann'] button").await;
    b.enter("#text", "just you").await;
    a.until(&said("theirs private", "just you")).await;
    assert_eq!(a.text("article.private .who").await, "bob");
    picture(&a, "chat.png").await;
    a.emulate(json!({"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false})).await;
    picture(&a, "chat-390.png").await;
    let fits =
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(a.run(fits).await, json!(true));

    // Nobody is there any more to get it.
    b.leave().await;
    a.until(&noted("bob left")).await;
    a.leave().await;
}

#[tokio::test]
async fn a_token_that_ends_is_asked_for_again() {
    let (server, driver) = (server(), Driver::start());
    let page = driver.open(&server.page(101)).await;
    page.see("#token-form:not([hidden])").await;
    page.enter("#token", &token("ann", 101, 6)).await;
    page.until(".//p[@id='token-error'][contains(., 'has ended')]").await;
    page.emulate(json!({"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false}))
        .await;
    picture(&page, "ended-390.png").await;
    page.enter("#token", &token("ann", 101, 600)).await;
    online(&page).await;
    // A newer one, while the earlier still holds: nobody notices.
    page.run(&format!("location.hash = 'token={}'", token("ann", 101, 1_200))).await;
    online(&page).await;
    page.leave().await;
}

#[tokio::test]
async fn who_may_not_write_reads_along() {
    let (_, line) = new_key("back-end", Scopes::parse("read+send").unwrap()).unwrap();
    let (server, driver) = (Server::start(&[&format!("auth.keys=[\"{line}\"]")]), Driver::start());
    let page = driver.open(&server.page(101)).await;
    let name = online(&page).await;
    page.see("#read-only:not([hidden])").await;
    page.see("#composer[hidden]").await;
    page.until(&listed(&name)).await;
    let _visitor = server.visitor(101, "robin");
    page.until(&noted("robin came in")).await;
    page.until(&listed("robin")).await;
    picture(&page, "reading.png").await;
    page.leave().await;
}
