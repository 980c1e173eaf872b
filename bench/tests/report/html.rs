//! The page: whole, self-contained, and deaf to what comes from outside.

use crate::example;
use millgate_bench::report::html;
use std::fs;
use std::path::Path;

/// Kept where `cargo` keeps what tests write, for whoever wants to look at them.
#[test]
fn every_example_makes_a_page() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, run) in [
        ("everything", example::everything()),
        ("nothing", example::nothing()),
        ("held", example::held()),
        ("echoed", example::echoed()),
    ] {
        let page = html::page(&run).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{name}");
        assert!(page.len() < 600_000, "{name}: {} bytes", page.len());
        fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

#[test]
fn a_page_needs_nothing_from_outside() {
    let page = html::page(&example::everything()).unwrap();
    for foreign in ["<script", "<link", "<img", "src=", "@import", "url(", "href=", "onload"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://"));
}

#[test]
fn what_comes_from_outside_is_text() {
    let hostile = "<script>alert('x')</script>\"><img src=x onerror=y>";
    let mut run = example::everything();
    run.command = hostile.to_owned();
    run.arguments = vec![hostile.to_owned()];
    run.target.url = hostile.to_owned();
    run.machine.host = hostile.to_owned();
    run.machine.sysctl.insert(hostile.to_owned(), hostile.to_owned());
    run.connections.causes.insert(hostile.to_owned(), 9);
    run.loads.iter_mut().for_each(|load| load.name = hostile.to_owned());
    run.objectives[0].text = hostile.to_owned();
    run.figures[0].name = hostile.to_owned();
    run.figures[0].unit = hostile.to_owned();
    run.notes = vec![hostile.to_owned()];
    run.storm.as_mut().unwrap().policy = hostile.to_owned();
    run.hostile.as_mut().unwrap().kinds[0].kind = hostile.to_owned();
    run.stall.as_mut().unwrap().remedy = hostile.to_owned();
    run.plan.as_mut().unwrap().answers[0].ceilings[0].limit = hostile.to_owned();
    let page = html::page(&run).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.matches("&lt;script&gt;alert").count() >= 15);
}

#[test]
fn only_parts_with_something_in_them_appear() {
    let all = [
        "<h2>Latency",
        "<h2>Fan-out",
        "<h2>Storm",
        "<h2>Hostile",
        "<h2>Memory per",
        "<h2>Capacity",
        "<h2>Both sides",
        "<h2>Objectives",
        "<h2>Stalled",
        "<h2>CPU and load",
        "<h2>Figures",
    ];
    let everything = html::page(&example::everything()).unwrap();
    let nothing = html::page(&example::nothing()).unwrap();
    for heading in all {
        assert!(everything.contains(heading), "{heading}");
        assert!(!nothing.contains(heading), "{heading}");
    }
    assert!(!nothing.contains("<svg"));
}

#[test]
fn invalid_points_are_listed_and_not_drawn() {
    let circles = |page: &str| page.matches("<circle").count();
    let valid = example::echoed().loads.iter().filter(|load| load.verdict.is_valid()).count();
    let page = html::page(&example::echoed()).unwrap();
    // Three quantiles, each drawn wide and narrow.
    assert_eq!(circles(&page), valid * 3 * 2);
    assert_eq!(page.matches(">INVALID<").count(), 2);
    assert!(page.contains("the generator&#39;s CPU") || page.contains("the generator's CPU"));
}

#[test]
fn a_broken_histogram_is_one_line() {
    let mut run = example::echoed();
    run.loads[5].latency.corrected.histogram = "broken".to_owned();
    let error = html::page(&run).unwrap_err();
    assert!(error.contains("histogram") && !error.contains('\n'), "{error}");
}
