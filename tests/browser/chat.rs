//! Two visitors and a server that comes and goes.

use crate::driver::{Driver, Page};
use crate::server::Server;
use serde_json::json;

/// Waits until a page is logged in; returns its name.
pub async fn online(page: &Page) -> String {
    page.see("#state[data-state=online]").await;
    let name = page.run("return document.getElementById('name').value").await;
    name.as_str().expect("a name").to_owned()
}

pub fn noted(what: &str) -> String {
    format!(".//p[@class='note']/span[.='{what}']")
}

pub fn said(whose: &str, text: &str) -> String {
    format!(
        ".//article[contains(@class, '{whose}') and not(@aria-busy)]//p[@class='text'][.='{text}']"
    )
}

pub fn listed(name: &str) -> String {
    format!(".//ul[@id='users']/li[@data-name='{name}']")
}

#[tokio::test]
async fn two_people_chat() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let a = driver.open(&server.page(101)).await;
    let name_a = online(&a).await;
    assert!((1..=19).contains(&name_a.len()), "{name_a}");
    let b = driver.open(&server.page(101)).await;
    let name_b = online(&b).await;
    a.until(&noted(&format!("{name_b} came in"))).await;
    a.until(&listed(&name_b)).await;
    b.until(&listed(&name_a)).await;
    assert_eq!(a.text("#people .count").await, "2");

    a.enter("#text", "hello from a").await;
    b.until(&said("theirs", "hello from a")).await;
    a.until(&said("mine", "hello from a")).await;
    assert_eq!(b.text("article.theirs .who").await, name_a);
    let right = "const [l, m] = ['#lines', '.mine .bubble'].map(s => document.querySelector(s).getBoundingClientRect()); \
                 return m.right - l.left > l.right - m.left";
    assert_eq!(a.run(right).await, json!(true), "one's own are on the right");

    b.enter("#text", "<script>alert(1)</script><img src=x onerror=alert(2)>").await;
    a.until(&said("theirs", "<script>alert(1)</script><img src=x onerror=alert(2)>")).await;
    let made = a.run("return document.querySelectorAll('#lines script, #lines img').length").await;
    assert_eq!(made, json!(0), "markup is text");
    assert!(a.get_alert_text().await.is_err(), "nothing ran");

    let elsewhere = driver.open(&server.page(102)).await;
    online(&elsewhere).await;
    a.click(&format!("[data-name='{name_b}'] button")).await;
    a.enter("#text", "just you").await;
    b.until(&said("theirs private", "just you")).await;
    assert_eq!(b.text("article.private .who").await, name_a);
    a.click("#to-all").await;

    b.enter("#name", "a name of far too many bytes").await;
    b.until(".//p[@id='name-error'][contains(., '19 bytes')]").await;
    b.enter("#name", "robin").await;
    a.until(&noted(&format!("{name_b} left"))).await;
    a.until(&noted("robin came in")).await;
    a.until(&format!("{} and not({})", listed("robin"), listed(&name_b))).await;

    b.leave().await;
    a.until(&noted("robin left")).await;
    a.until(&format!("not({})", listed("robin"))).await;
    assert_eq!(a.text("#people .count").await, "1");
    assert_eq!(elsewhere.run("return document.querySelectorAll('article').length").await, json!(0));
    a.leave().await;
    elsewhere.leave().await;
}

#[tokio::test]
async fn a_message_to_one_keeps_its_author_whatever_the_name() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let (a, b) = (driver.open(&server.page(101)).await, driver.open(&server.page(101)).await);
    let name_a = online(&a).await;
    online(&b).await;
    b.click(&format!("[data-name='{name_a}'] button")).await;
    for name in ["a] b", "[x]", r"back\slash\", r"\] "] {
        b.enter("#name", name).await;
        a.until(&noted(&format!("{} came in", name.trim()))).await;
        let text = format!("[this] is {name}");
        b.enter("#text", &text).await;
        a.until(&said("theirs private", text.trim())).await;
        let author =
            "return [...document.querySelectorAll('article.private .who')].at(-1).textContent";
        assert_eq!(a.run(author).await, json!(name.trim()));
    }
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn a_second_login_is_nobody_else_in_a_room_too_large_to_show() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let mut visitors: Vec<_> =
        (0..600).map(|n| server.visitor(103, &format!("visitor-{n}"))).collect();
    let page = driver.open(&server.page(103)).await;
    online(&page).await;
    page.until(".//p[@id='more'][.='and 101 more']").await;
    let hidden = "const shown = [...document.querySelectorAll('#users li')].map((li) => li.dataset.name); \
                  return Array.from({ length: 600 }, (_, n) => `visitor-${n}`).find((name) => !shown.includes(name))";
    let hidden = page.run(hidden).await.as_str().expect("somebody is not shown").to_owned();
    visitors.push(server.visitor(103, &hidden));
    page.until(&noted(&format!("{hidden} came in"))).await;
    assert_eq!(page.text("#people .count").await, "601");
    visitors.push(server.visitor(103, "somebody new"));
    page.until(".//aside//span[@class='count'][.='602']").await;
    page.leave().await;
}

/// One server under two names, which are two origins to a browser.
#[tokio::test]
async fn the_page_goes_where_it_is_told_to() {
    let (mut server, driver) = (Server::start(&[]), Driver::start());
    let (here, there) = (server.origin("127.0.0.1"), server.origin("localhost"));
    server.stop();
    server.start_again_with(&[
        &format!("page.http_url={there}"),
        &format!(
            "auth.allowed_origins=[\"{here}\", \"http://*.localhost:*\", \"http://localhost:*\"]"
        ),
    ]);
    let asked = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name)) \
                 .filter((url) => url.pathname.startsWith('/user/')).map((url) => url.origin)";
    let a = driver.open(&server.page(101)).await;
    let name_a = online(&a).await;
    // Listed by a pattern, which the page reads as the server does.
    let b = driver.open(&format!("{there}/home/index?appID=101")).await;
    let name_b = online(&b).await;
    a.until(&listed(&name_b)).await;
    b.until(&listed(&name_a)).await;
    a.enter("#text", "over there").await;
    a.until(&said("mine", "over there")).await;
    b.until(&said("theirs", "over there")).await;
    b.enter("#text", "and back").await;
    a.until(&said("theirs", "and back")).await;
    for page in [&a, &b] {
        let origins = page.run(asked).await;
        let origins = origins.as_array().expect("a list");
        assert!(origins.len() > 1 && origins.iter().all(|o| *o == json!(there)), "{origins:?}");
    }
    a.leave().await;
    b.leave().await;

    // Whoever opens it under a third name is told to go elsewhere by nobody.
    server.stop();
    server.start_again_with(&[&format!("page.http_url={there}")]);
    let c = driver.open(&server.page(101)).await;
    let name_c = online(&c).await;
    c.until(&listed(&name_c)).await;
    assert_eq!(c.run(asked).await[0], json!(here));
    c.leave().await;

    // A page that is not listed is not let in.
    server.stop();
    server.start_again_with(&[&format!("auth.allowed_origins=[\"{there}\"]")]);
    let d = driver.open(&server.page(101)).await;
    d.see("#state[data-state=waiting]").await;
    assert!(server.metric("millgate_foreign_origins_total") >= 1.0);
    d.leave().await;
}

#[tokio::test]
async fn pages_survive_a_restart() {
    let (mut server, driver) = (Server::start(&[]), Driver::start());
    let (a, b) = (driver.open(&server.page(101)).await, driver.open(&server.page(101)).await);
    let names = [online(&a).await, online(&b).await];
    server.stop();
    for page in [&a, &b] {
        page.see("#state:not([data-state=online])").await;
    }
    a.enter("#text", "too early").await;
    a.until(".//p[@class='error'][contains(., 'Not sent')]").await;
    server.start_again();
    assert_eq!([online(&a).await, online(&b).await], names, "the same people");
    a.until(&listed(&names[1])).await;
    b.until(&listed(&names[0])).await;
    a.click(".failed .error button").await;
    b.until(&said("theirs", "too early")).await;
    b.enter("#text", "welcome back").await;
    a.until(&said("theirs", "welcome back")).await;
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn a_page_goes_where_a_server_that_stops_sends_it() {
    let (other, driver) = (Server::start(&[]), Driver::start());
    let mut server = Server::start(&[&format!("stop.other_nodes=[\"{}\"]", other.websocket_url())]);
    let page = driver.open(&server.page(101)).await;
    let name = online(&page).await;
    server.stop();
    // Its own server does not come back.
    let mut witness = other.visitor(102, "witness");
    page.until(".//p[@id='state' and @data-state='online']").await;
    assert_eq!(page.run("return document.getElementById('name').value").await, json!(name));
    assert_eq!(other.metric("millgate_users{app=\"101\"}"), 1.0);
    witness.close(None).expect("closed");
    page.leave().await;
}

#[tokio::test]
async fn a_page_stays_small_however_large_the_room() {
    let (server, driver) = (Server::start(&["announce.exact_up_to=0"]), Driver::start());
    let mut visitors: Vec<_> =
        (0..600).map(|n| server.visitor(103, &format!("visitor-{n}"))).collect();
    let page = driver.open(&server.page(103)).await;
    let me = online(&page).await;
    page.until(".//p[@id='more'][.='and 101 more']").await;
    page.until("count(.//ul[@id='users']/li) = 500").await;
    visitors.truncate(550);
    page.until(".//aside//span[@class='count'][.='551']").await;

    for n in 0..520 {
        server.say(103, "visitor-1", &format!("line {n}"));
    }
    page.until(&said("theirs", "line 519")).await;
    let lines = page.run("return document.getElementById('lines').childElementCount").await;
    assert_eq!(lines, json!(500), "{me}");
    page.leave().await;
}

#[tokio::test]
async fn a_phone_has_a_drawer_and_nothing_sticks_out() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.page(101)).await;
    online(&page).await;
    let _long = server.visitor(101, &"w".repeat(19));
    server.say(101, &"w".repeat(19), &"long".repeat(300));
    page.see("article.theirs").await;
    for width in [360, 390, 768, 1440] {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        page.emulate(size).await;
        let fits = "return document.documentElement.scrollWidth <= innerWidth \
                    && document.getElementById('lines').scrollWidth <= document.getElementById('lines').clientWidth";
        assert_eq!(page.run(fits).await, json!(true), "{width}");
        let drawer = page.find(fantoccini::Locator::Css("#people-toggle")).await.expect("a button");
        assert_eq!(drawer.is_displayed().await.expect("an answer"), width < 768, "{width}");
    }
    page.emulate(json!({"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false}))
        .await;
    page.click("#people-toggle").await;
    page.see(".drawer-open #people-toggle[aria-expanded=true]").await;
    page.press_escape().await;
    page.see("body:not(.drawer-open) #people-toggle:focus").await;
    page.leave().await;
}
