//! Who may give orders, and what a page of somebody else cannot.

use crate::keys::{ask, key};
use crate::support::{Client, Node};

fn post(node: &Node, path: &str, headers: &[&str]) -> u16 {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\nX-API-Key: {}\r\n{headers}\r\n",
        node.http(),
        node.admin_key()
    );
    node.raw(request.as_bytes()).status
}

/// A form that another site makes a browser send: no script of ours, no preflight.
#[test]
fn a_page_of_another_site_orders_nothing() {
    let node = Node::with(|config| {
        // Not even one that may read answers.
        config.auth.allowed_origins = vec!["https://chat.example.org".into()];
    });
    let mut client = Client::login(&node, 101, "ann");
    for headers in [
        &["Origin: https://evil.example.org", "Sec-Fetch-Site: cross-site"][..],
        &["Origin: https://chat.example.org", "Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Origin: null"],
        &["Origin: http://127.0.0.1:1"],
    ] {
        for path in
            ["/admin/kick?userID=ann", "/admin/drain", "/admin/reload", "/admin/trace?appID=101"]
        {
            assert_eq!(post(&node, path, headers), 403, "{path} {headers:?}");
        }
    }
    client.expect_silence();
    let own = format!("Origin: http://{}", node.http());
    assert_eq!(post(&node, "/admin/kick?userID=ann", &[&own, "Sec-Fetch-Site: same-origin"]), 200);
    client.expect_close(3503);
}

#[test]
fn with_keys_only_one_for_admins_opens_it() {
    let [(admin, admin_line), (other, other_line)] =
        [key("boss", "admin"), key("shop", "read+send+metrics")];
    let node = Node::with(|config| config.auth.keys = vec![admin_line, other_line]);
    let mut client = Client::login(&node, 101, "ann");
    let key_of = |key: &str| format!("X-API-Key: {key}\r\n");
    for request in [
        "GET /admin/state",
        "POST /admin/drain",
        "DELETE /admin/drain",
        "POST /admin/reload",
        "POST /admin/kick",
        "POST /admin/trace",
    ] {
        for (header, status) in
            [(String::new(), 401), (key_of("mg_guess"), 401), (key_of(&other), 403)]
        {
            let answer = ask(&node, request, &header, "userID=ann&seconds=0");
            assert_eq!(answer.status, status, "{request}: {answer:?}");
        }
        // In a cookie, or where a link could carry it, it opens nothing.
        let cookie = format!("Cookie: X-API-Key={admin}; key={admin}\r\n");
        let (verb, path) = request.split_once(' ').expect("two words");
        let linked = format!("{verb} {path}?key={admin}&X-API-Key={admin}");
        assert_eq!(ask(&node, request, &cookie, "userID=ann").status, 401, "{request}");
        assert_eq!(ask(&node, &linked, "", "userID=ann").status, 401, "{request}");
    }
    client.expect_silence();
    assert_eq!(node.request("GET", "/admin").status, 200, "the page itself holds nothing");
    assert_eq!(ask(&node, "GET /admin/state", &key_of(&admin), "").status, 200);
    // A page of another site with a stolen key is still a page of another site.
    let foreign = format!("{}Origin: https://evil.example.org\r\n", key_of(&admin));
    assert_eq!(ask(&node, "POST /admin/kick", &foreign, "userID=ann").status, 403);
    assert_eq!(ask(&node, "POST /admin/kick", &key_of(&admin), "userID=ann").status, 200);
    client.expect_close(3503);
}

/// To a browser such a page is of the same origin as this node.
#[test]
fn a_name_of_a_stranger_that_leads_here_opens_nothing() {
    let node = Node::with(|config| config.page.http_url = "https://chat.example.org".into());
    let port = node.http().port();
    let status = |route: &str, place: &str| {
        let request = format!(
            "{route} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nContent-Length: 0\r\n\
             Origin: http://{place}\r\nSec-Fetch-Site: same-origin\r\n\r\n"
        );
        node.raw(request.as_bytes()).status
    };
    let evil = format!("evil.example.org:{port}");
    assert_eq!(status("GET /admin/state", &evil), 401);
    for route in [
        "GET /user/list?appID=101",
        "GET /user/online?userID=ann",
        "GET /system/state",
        "GET /metrics",
        "POST /user/sendMessage?appID=101",
        "POST /user/sendMessageAll?appID=101",
    ] {
        assert_eq!(status(route, &evil), 403, "{route}");
        for own in
            [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "chat.example.org".into()]
        {
            assert_eq!(status(route, &own), 200, "{route} as {own}");
        }
    }
    assert_eq!(status("GET /healthz", &evil), 200);
}

/// Neither where a request comes from nor what it says of itself lets anybody in: a proxy on this
/// machine asks in the name of the whole world, and may add no header.
#[test]
fn without_keys_only_the_key_of_the_start_opens_it() {
    let node = Node::start();
    let mut client = Client::login(&node, 101, "ann");
    for header in ["", "X-Forwarded-For: 192.0.2.1\r\n", "X-API-Key: \r\n", "X-API-Key: mg_x\r\n"] {
        for request in
            ["GET /admin/state", "POST /admin/kick", "POST /admin/drain", "POST /admin/reload"]
        {
            let answer = ask(&node, request, header, "userID=ann");
            assert_eq!(answer.status, 401, "{request} {header}");
            assert!(answer.body.contains("millgate gen-key ops --scopes admin"), "{answer:?}");
        }
    }
    client.expect_silence();
    let start = format!("X-API-Key: {}\r\n", node.admin_key());
    assert_eq!(ask(&node, "GET /admin/state", &start, "").status, 200);
    assert_eq!(ask(&node, "POST /admin/kick", &start, "userID=ann").status, 200);
    client.expect_close(3503);
    // Keys of the configuration take its place.
    let (admin, line) = key("boss", "admin");
    node.reload(|config| config.auth.keys = vec![line]);
    assert_eq!(ask(&node, "GET /admin/state", &start, "").status, 401);
    assert_eq!(ask(&node, "GET /admin/state", &format!("X-API-Key: {admin}\r\n"), "").status, 200);
}

#[test]
fn the_page_is_framed_by_nobody_and_asks_nobody_else() {
    let node = Node::start();
    let page = node.request("GET", "/admin");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in
        ["default-src 'none'", "script-src 'self'", "connect-src 'self';", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!page.body.contains("<script>") && !page.body.contains(" style="), "{}", page.body);
    for asset in [
        "admin.css",
        "admin.js",
        "api.js",
        "charts.js",
        "dom.js",
        "orders.js",
        "trace.js",
        "view.js",
    ] {
        let answer = node.request("GET", &format!("/admin/page/{asset}"));
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for path in
        ["/admin/page/index.html", "/admin/page/..%2Fpage.rs", "/admin/page/", "/admin/nothing"]
    {
        assert_eq!(node.request("GET", path).status, 404, "{path}");
    }
}
