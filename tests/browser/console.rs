//! Every page in a real browser: nothing is blocked, missing or unknown to it, and everything has room.

use crate::chat::{listed, online, said};
use crate::driver::{Driver, Page};
use crate::server::Server;
use serde_json::json;

#[tokio::test]
async fn browsers_find_nothing_to_complain_about() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let here = server.origin("127.0.0.1");
    let admin = format!("/admin#key={}", server.admin_key());
    for path in ["/", "/home/index?appID=101", &admin, "/docs"] {
        let page = driver.open(&format!("{here}{path}")).await;
        page.see("h1").await;
        if path.starts_with("/home") {
            online(&page).await;
        }
        for width in [360, 390, 768, 1440] {
            let size =
                json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
            page.emulate(size).await;
            let fits = "return document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(page.run(fits).await, json!(true), "{path} at {width}");
        }
        assert_eq!(page.console().await, Vec::<String>::new(), "{path}");
        page.leave().await;
    }
}

#[tokio::test]
async fn the_front_page_leads_to_all_others() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.origin("127.0.0.1")).await;
    page.see("h1").await;
    let links = page
        .run("return Promise.all([...document.querySelectorAll('main a')].map((a) => fetch(a.href).then((r) => [a.getAttribute('href'), r.status])))")
        .await;
    let links = links.as_array().expect("a list");
    for path in ["home/index", "admin", "docs", "openapi.json", "metrics", "healthz", "readyz"] {
        assert!(links.contains(&json!([path, 200])), "{path}: {links:?}");
    }
    page.leave().await;
}

/// The anchors in what others have said.
async fn anchors(page: &Page) -> serde_json::Value {
    page.run("return [...document.querySelectorAll('#lines .text a')].map((a) => [a.textContent, a.href, a.rel, a.target])").await
}

#[tokio::test]
async fn links_can_be_followed_and_nothing_else() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.page(101)).await;
    online(&page).await;
    let text = "see (https://example.org/a_(b)?c=1&d=<x>), HTTP://EXAMPLE.com. javascript:alert(1) \
                https://user:secret@example.net/ data:text/html,x http:// <a href='x'>";
    server.say(101, "robin", text);
    page.until(".//p[@class='text'][starts-with(., 'see (https')]").await;
    let shown = page.text("#lines .text").await;
    assert_eq!(shown, text, "not a letter is lost");
    let one = |text: &str, url: &str| json!([text, url, "noopener noreferrer", "_blank"]);
    assert_eq!(
        anchors(&page).await,
        json!([
            one("https://example.org/a_(b)?c=1&d=", "https://example.org/a_(b)?c=1&d="),
            one("HTTP://EXAMPLE.com", "http://example.com/"),
        ])
    );
    page.leave().await;
}

#[tokio::test]
async fn who_comes_first_is_told_what_to_do() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&server.page(104)).await;
    let name = online(&page).await;
    page.see("#alone:not([hidden])").await;
    let command = page.text("#alone-curl").await;
    let (form, url) = command.strip_prefix("curl ").and_then(|rest| rest.rsplit_once(' ')).unwrap();
    assert_eq!(form, "-d appID=104 -d userID=robot -d message=hello");
    let form = [("appID", "104"), ("userID", "robot"), ("message", "hello")];
    ureq::post(url).send_form(form).expect("taken");
    page.until(&said("theirs", "hello")).await;
    page.see("#alone[hidden]").await;
    page.until(&listed(&name)).await;
    page.leave().await;
}

/// Markup in Markdown stays text, and links lead to the web alone.
#[tokio::test]
async fn markdown_makes_no_markup_of_its_own() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let page = driver.open(&format!("{}/docs", server.origin("127.0.0.1"))).await;
    page.see("h2").await;
    let text = "# <b>x\n<img src=x onerror=alert(1)> [a](javascript:alert(1)) \
                [b](data:text/html,x) [c](https://example.org/)\n\n\
                | `<i>` | **y** |\n|---|---|\n| a \\| b | z |";
    let draw = "return import('/docs/markdown.js').then(({ markdown }) => { \
                const made = document.createElement('div'); \
                made.append(markdown(arguments[0])); \
                const all = (css, of) => [...made.querySelectorAll(css)].map(of); \
                return [all('img, b, i, script', (e) => e.outerHTML), all('a', (a) => a.href), \
                all('td', (cell) => cell.textContent), all('h2', (title) => title.textContent)]; })";
    let drawn = page.execute(draw, vec![json!(text)]).await.expect("the script runs");
    let links = json!(["https://example.org/"]);
    assert_eq!(drawn, json!([[], links, ["a | b", "z"], ["<b>x"]]));
    page.leave().await;
}

#[tokio::test]
async fn the_documentation_is_drawn_and_can_be_tried() {
    let (server, driver) = (Server::start(&[]), Driver::start());
    let _ann = server.visitor(101, "ann");
    let page = driver.open(&format!("{}/docs", server.origin("127.0.0.1"))).await;
    // Markdown is drawn.
    page.until(
        ".//section[@id='listUsers']//div[contains(@class, 'description')]//code[.='limit']",
    )
    .await;
    page.until(".//section[@id='protocol']//table//td/code[.='heartbeat']").await;
    page.until(".//section[@id='protocol']//h3[.='Close codes']").await;
    let marks = "return [...document.querySelectorAll('.description, #protocol p, #protocol td')] \
                 .filter((part) => /`|\\*\\*|\\]\\(/.test(part.textContent)).map((part) => part.textContent)";
    assert_eq!(page.run(marks).await, json!([]));
    page.until(".//section[@id='listUsers']//div[@class='example']/pre[contains(., 'userCount')]")
        .await;
    // The command does what the page does.
    let command = page.text("#sendMessage .command").await;
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("\"sendResults\":true"), "{command}: {said}");
    page.click("#sendMessage button[type=submit]").await;
    page.until(
        ".//section[@id='sendMessage']/pre[contains(., '200 OK') and contains(., 'sendResults')]",
    )
    .await;
    assert_eq!(page.console().await, Vec::<String>::new());
    page.leave().await;
}
