//! An operator at the admin page.

use crate::driver::{Driver, Page};
use crate::server::Server;
use fantoccini::Locator;
use millgate::auth::new_key;
use millgate::config::Scopes;
use serde_json::json;
use tungstenite::Message;

/// Waits until the page shows the node.
async fn watching(page: &Page) {
    page.see("#panels:not([hidden])").await;
    page.see("#ready[data-state=ready]").await;
}

async fn no_markup(page: &Page) {
    let made = page.run("return document.querySelectorAll('main img, main script').length").await;
    assert_eq!(made, json!(0), "markup is text");
    assert!(page.get_alert_text().await.is_err(), "nothing ran");
}

async fn choose(page: &Page, kind: &str) {
    let select = page.find(Locator::Css("#whom-kind")).await.expect("a select");
    select.select_by_value(kind).await.expect("an option");
}

#[tokio::test]
async fn an_operator_watches_and_kicks_whatever_the_names() {
    let hostile = "<img src=x onerror=alert(1)>";
    let settings = ["limits.user_id_bytes=99", "admin.trace_content=true"];
    let (server, driver) = (Server::start(&settings), Driver::start());
    let mut visitor = server.visitor(101, hostile);
    let mut other = server.visitor(102, "other");
    let page = driver.open(&server.admin_link()).await;
    watching(&page).await;
    page.until(".//div[.//h2='Connections']/strong[.='2']").await;
    page.until(".//table[@id='apps']//tr[td='101']/td[.='1']").await;
    page.until(".//table[@id='reactors']/tbody[count(tr)=2]").await;

    choose(&page, "userID").await;
    page.see("#whom").await.send_keys(hostile).await.expect("typed");
    page.click("button[value=trace]").await;
    page.until(".//ol[@id='trace']/li[@class='begin'][contains(., '<img src=x')]").await;
    visitor.send(Message::text("<script>alert(2)</script>")).expect("sent");
    page.until(".//ol[@id='trace']/li[@class='in'][contains(., '<script>alert(2)</script>')]")
        .await;
    no_markup(&page).await;

    page.click("button[value=find]").await;
    page.until(".//table[@id='found']/tbody[count(tr)=1]//td[starts-with(., '<img src=x')]").await;
    no_markup(&page).await;
    page.until(".//strong[@id='kick-whom'][.='userID <img src=x onerror=alert(1)>']").await;

    page.click("button[value=kick]").await;
    page.see("#sure[open]").await;
    page.press_escape().await;
    page.see("#sure:not([open])").await;
    visitor.send(Message::text("still here")).expect("not kicked without a yes");
    page.until(".//ol[@id='trace']/li[@class='in'][contains(., 'still here')]").await;
    page.see("#kick-reason").await.send_keys("<b>bye</b>").await.expect("typed");
    page.click("button[value=kick]").await;
    page.click("#sure-yes").await;
    let closed = loop {
        if let Message::Close(frame) = visitor.read().expect("a close comes") {
            break frame.expect("a code");
        }
    };
    assert_eq!((u16::from(closed.code), closed.reason.as_str()), (3503, "<b>bye</b>"));
    page.until(".//ol[@id='trace']/li[@class='close'][contains(., 'kicked')]").await;
    page.until(".//table[@id='closes']//tr[td='kicked']/td[3][.='1']").await;
    // The bar at the top lies over what was scrolled past it.
    page.run("scrollTo(0, 0)").await;
    page.click("#trace-stop").await;
    page.until(".//p[@id='whom-said'][contains(., 'Watched')]").await;
    no_markup(&page).await;
    other.close(None).expect("closed");
    page.leave().await;
}

#[tokio::test]
async fn an_operator_drains_with_a_throttle() {
    let (server, driver) = (Server::start(&["stop.grace=1h"]), Driver::start());
    let _visitors: Vec<_> = (0..5).map(|n| server.visitor(101, &format!("v{n}"))).collect();
    let page = driver.open(&server.admin_link()).await;
    watching(&page).await;
    page.click("#drain-go").await;
    page.click("#sure-yes").await;
    page.until(".//p[@id='drain-text'][contains(., 'Not ready any more')]").await;
    page.see("#ready[data-state=unready]").await;
    page.click("#drain-cancel").await;
    page.until(".//p[@id='drain-text'][.='This node serves.']").await;
    page.see("#ready[data-state=ready]").await;

    page.see("#drain-grace").await.send_keys("0").await.expect("typed");
    page.see("#drain-deadline").await.send_keys("1h").await.expect("typed");
    let slide = "const r = document.getElementById('drain-rate'); r.value = arguments[0]; \
                 r.dispatchEvent(new Event('input')); r.dispatchEvent(new Event('change'))";
    page.execute(slide, vec![json!(0)]).await.expect("moved");
    page.click("#drain-go").await;
    page.click("#sure-yes").await;
    page.until(".//p[@id='drain-text'][contains(., 'of 5 told')]").await;
    page.until(".//p[@id='drain-text'][contains(., '5 of 5 told')]").await;
    // Nobody has answered the close: until the deadline the throttle still works.
    page.execute(slide, vec![json!(60)]).await.expect("moved");
    page.until(".//p[@id='drain-said'][.='Goes on like that.']").await;
    page.until(".//output[@id='drain-rate-text'][.='1,000 a second']").await;
    page.leave().await;
}

/// What was said of a drain does not outlive it, and a node that is gone is not shown as alive.
#[tokio::test]
async fn a_drain_leaves_nothing_behind() {
    // One that stays the same when the node starts again.
    let (key, line) = new_key("boss", Scopes::parse("admin").unwrap()).unwrap();
    let keys = format!("auth.keys=[\"{line}\"]");
    let (mut server, driver) = (Server::start(&["stop.grace=1h", &keys]), Driver::start());
    let page = driver.open(&format!("{}#key={key}", server.admin_page())).await;
    watching(&page).await;
    page.see("#drain-deadline").await.send_keys("1h").await.expect("typed");
    page.click("#drain-go").await;
    page.click("#sure-yes").await;
    page.until(".//p[@id='drain-said'][.='Begun.']").await;
    page.until(".//p[@id='drain-text'][contains(., 'Not ready any more')]").await;
    server.kill();
    page.until(".//p[@id='drain-text'][contains(., 'does not answer any more')]").await;
    server.start_again_with(&[&keys]);
    page.until(".//p[@id='drain-text'][.='This node serves.']").await;
    page.until(".//p[@id='drain-said'][.='']").await;
    let typed = page.run("return document.getElementById('drain-deadline').value").await;
    assert_eq!(typed, json!(""));
    page.leave().await;
}

/// What one looks at stands above what cannot be undone, and a line has a scale.
#[tokio::test]
async fn figures_have_scales_and_come_before_orders() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let _visitors: Vec<_> = (0..3).map(|n| server.visitor(101, &format!("v{n}"))).collect();
    let page = driver.open(&server.admin_link()).await;
    watching(&page).await;
    page.until(".//div[contains(@class, 'tile')][.//h2='Connections']//div[@class='scale'][span[1]='4'][span[2]='2'][span[3]='0']").await;
    page.until(".//div[@class='times'][span='2 min ago'][span='now']").await;
    page.until(".//*[name()='svg'][@aria-label='Connections in the last two minutes, on a scale from 0 to 4']").await;
    let order = "const top = (id) => document.getElementById(id).getBoundingClientRect().top; \
                 return ['reactors', 'memory', 'closes'].every((id) => ['kick-reason', 'drain-go'].every((order) => top(id) < top(order)))";
    for width in [390, 1440] {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        page.emulate(size).await;
        assert_eq!(page.run(order).await, json!(true), "{width}");
    }
    page.leave().await;
}

#[tokio::test]
async fn an_operator_shows_a_key_that_stays_in_the_tab() {
    let (key, line) = new_key("boss", Scopes::parse("admin").unwrap()).unwrap();
    let server = Server::start(&[&format!("auth.keys=[\"{line}\"]")]);
    let (driver, url) = (Driver::start(), server.admin_page());
    let page = driver.open(&url).await;
    page.see("#key-form:not([hidden])").await;
    page.see("#panels[hidden]").await;
    page.enter("#key", "mg_guess").await;
    page.until(".//p[@id='key-error'][contains(., 'key')]").await;
    page.enter("#key", &key).await;
    watching(&page).await;
    page.goto(&url).await.expect("opened again");
    watching(&page).await;
    let kept = page.run("return [document.cookie, localStorage.length, location.href]").await;
    assert_eq!(kept, json!(["", 0, url]), "and nowhere else");
    page.click("#forget").await;
    page.see("#key-form:not([hidden])").await;
    page.leave().await;
}

#[tokio::test]
async fn without_keys_it_says_what_to_do_and_a_link_opens_it() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.admin_page()).await;
    page.see("#key-form:not([hidden])").await;
    page.until(".//p[@id='key-error'][contains(., 'a terminal shows a link with it')]").await;
    page.until(".//p[@id='key-error'][contains(., 'millgate gen-key ops --scopes admin')]").await;
    // The page is there already: only the fragment changes.
    page.goto(&server.admin_link()).await.expect("opened");
    watching(&page).await;
    let kept = page.run("return [document.cookie, localStorage.length, location.href]").await;
    assert_eq!(kept, json!(["", 0, server.admin_page()]), "the key is in no history");
    page.goto(&server.admin_page()).await.expect("opened again");
    watching(&page).await;
    page.leave().await;
}

#[tokio::test]
async fn the_page_fits_a_phone_and_a_desk() {
    let (server, driver) = (Server::start(&["limits.user_id_bytes=99"]), Driver::start());
    let _visitor = server.visitor(101, &"w".repeat(99));
    let page = driver.open(&server.admin_link()).await;
    watching(&page).await;
    page.click("#reload").await;
    page.until(".//pre[@id='reload-said'][.='Nothing has changed.']").await;
    for width in [360, 390, 768, 1440] {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        page.emulate(size).await;
        let fits = "return document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(page.run(fits).await, json!(true), "{width}");
        let cut = "return [...document.querySelectorAll('main td, main th')].filter((cell) => { \
                   const [c, p] = [cell, cell.closest('.card')].map((e) => e.getBoundingClientRect()); \
                   return c.width > 0 && c.height > 1 && (c.right > p.right || cell.scrollWidth > cell.clientWidth + 1); \
                   }).map((cell) => cell.textContent)";
        assert_eq!(page.run(cut).await, json!([]), "columns at {width}");
    }
    page.leave().await;
}
