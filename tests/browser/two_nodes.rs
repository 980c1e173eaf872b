//! Visitors of different nodes of one cluster.

use crate::chat::{listed, noted, online, said};
use crate::driver::Driver;
use crate::nodes::eventually;
use crate::redis::Redis;
use crate::server::Server;

/// Two nodes that know each other, each a process of its own.
fn two_nodes(redis: &Redis) -> [Server; 2] {
    let addr = format!("redis.addr={}", redis.addr());
    let nodes = [(); 2].map(|()| Server::start(&[&addr, "listen.grpc=127.0.0.1:0"]));
    let is_acquainted = |node: &Server| node.metric("millgate_peers{state=\"up\"}") == 1.0;
    eventually("both know each other", || nodes.iter().all(is_acquainted));
    nodes
}

#[tokio::test]
async fn two_pages_on_two_nodes_chat() {
    let (redis, driver) = (Redis::start(), Driver::start());
    let [here, there] = two_nodes(&redis);
    let a = driver.open(&here.page(101)).await;
    let name_a = online(&a).await;
    let b = driver.open(&there.page(101)).await;
    let name_b = online(&b).await;
    a.until(&noted(&format!("{name_b} came in"))).await;
    a.until(&listed(&name_b)).await;
    b.until(&listed(&name_a)).await;
    for page in [&a, &b] {
        page.until(".//aside//span[@class='count'][.='2']").await;
    }
    a.enter("#text", "hello from here").await;
    b.until(&said("theirs", "hello from here")).await;
    a.until(&said("mine", "hello from here")).await;
    b.enter("#text", "hello from there").await;
    a.until(&said("theirs", "hello from there")).await;
    a.click(&format!("[data-name='{name_b}'] button")).await;
    a.enter("#text", "just you").await;
    b.until(&said("theirs private", "just you")).await;
    assert_eq!(b.text("article.private .who").await, name_a);
    a.click("#to-all").await;
    b.enter("#name", "robin").await;
    a.until(&noted(&format!("{name_b} left"))).await;
    a.until(&noted("robin came in")).await;
    b.leave().await;
    a.until(&noted("robin left")).await;
    a.until(&format!("not({})", listed("robin"))).await;
    a.leave().await;
}

/// Nobody has configured where: the nodes tell each other.
#[tokio::test]
async fn a_page_goes_to_the_node_that_takes_it() {
    let (redis, driver) = (Redis::start(), Driver::start());
    let addr = format!("redis.addr={}", redis.addr());
    let [mut here, there] = [(); 2].map(|()| {
        let mut node = Server::start(&[]);
        node.stop();
        let url = format!("cluster.client_url={}", node.websocket_url());
        node.start_again_with(&[&addr, "listen.grpc=127.0.0.1:0", &url]);
        node
    });
    let state = format!("{}/admin/state", here.origin("127.0.0.1"));
    eventually("it knows where its clients could go", || {
        let asked = ureq::get(&state).header("X-API-Key", &here.admin_key());
        let text = asked.call().unwrap().body_mut().read_to_string().unwrap();
        text.contains(&format!("\"otherNodes\":[\"{}\"]", there.websocket_url()))
    });
    let page = driver.open(&here.page(101)).await;
    online(&page).await;
    here.stop();
    page.until(".//p[@id='state' and @data-state='online']").await;
    assert_eq!(there.metric("millgate_users{app=\"101\"}"), 1.0);
    there.say(101, "somebody", "welcome");
    page.until(&said("theirs", "welcome")).await;
    page.leave().await;
}

#[tokio::test]
async fn pages_outlive_a_node_that_is_killed() {
    let (redis, driver) = (Redis::start(), Driver::start());
    let [here, mut there] = two_nodes(&redis);
    let (a, b) = (driver.open(&here.page(101)).await, driver.open(&there.page(101)).await);
    let (name_a, name_b) = (online(&a).await, online(&b).await);
    a.until(&listed(&name_b)).await;
    there.kill();
    b.see("#state[data-state=waiting]").await;
    // Nobody has told of its end: whoever writes to somebody there finds out.
    a.click(&format!("[data-name='{name_b}'] button")).await;
    a.enter("#text", "are you there?").await;
    let failed = "contains(., 'cannot be reached.') or contains(., 'is not online.')";
    a.until(&format!(".//p[@class='error'][{failed}]")).await;
    a.until(&format!("not({})", listed(&name_b))).await;
    a.until(".//aside//span[@class='count'][.='1']").await;
    a.click("#to-all").await;
    let addr = format!("redis.addr={}", redis.addr());
    there.start_again_with(&[&addr, "listen.grpc=127.0.0.1:0"]);
    assert_eq!(online(&b).await, name_b, "the same person");
    a.until(&listed(&name_b)).await;
    b.until(&listed(&name_a)).await;
    b.enter("#text", "back again").await;
    a.until(&said("theirs", "back again")).await;
    a.leave().await;
    b.leave().await;
}
