//! When a page comes back by itself, and when it leaves that to its user.

use crate::chat::online;
use crate::driver::Driver;
use crate::server::Server;
use serde_json::json;

/// Keeps the times at which the page opens WebSockets.
const WATCH: &str = "window.opened = []; const Real = WebSocket; \
    window.WebSocket = class extends Real { constructor(...all) { super(...all); opened.push(Date.now()) } }";

#[tokio::test]
async fn a_server_that_restarts_is_asked_again_soon_and_not_at_once() {
    let (mut server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.page(101)).await;
    online(&page).await;
    page.run(WATCH).await;
    server.stop();
    let tries = loop {
        let tries = page.run("return opened").await;
        let tries: Vec<f64> = serde_json::from_value(tries).expect("numbers");
        if tries.len() >= 7 {
            break tries;
        }
        tokio::task::yield_now().await;
    };
    for pair in tries.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((950.0..3_500.0).contains(&gap), "{gap} ms in {tries:?}");
    }
    server.start_again();
    online(&page).await;
    page.leave().await;
}

#[tokio::test]
async fn who_is_displaced_is_told_and_may_take_over_again() {
    // By default the page is told so, since it understands it; where a user may have one connection
    // only, every client is.
    for settings in [&[][..], &["limits.connections_per_user=1"]] {
        displaced_with(settings).await;
    }
}

async fn displaced_with(settings: &[&str]) {
    let (server, driver) = (Server::start(settings), Driver::start());
    let page = driver.open(&server.page(101)).await;
    let name = online(&page).await;
    page.run(WATCH).await;
    let _newer = server.visitor(101, &name);
    page.until(
        ".//p[@id='state' and @data-state='stopped']//span[.='You are logged in somewhere else']",
    )
    .await;
    page.until(".//button[@id='reconnect' and not(@hidden)][.='Take over here']").await;
    page.until(".//p[@class='note'][contains(., 'has logged in somewhere else')]").await;
    assert_eq!(page.run("return opened").await, json!([]), "it does not come back by itself");
    page.click("#reconnect").await;
    assert_eq!(online(&page).await, name);
    page.leave().await;
}
