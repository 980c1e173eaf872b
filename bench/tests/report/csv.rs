//! The tables for a spreadsheet.

use crate::example;
use csv::{ReaderBuilder, StringRecord};
use millgate_bench::report::csv as tables;

fn read(text: &str) -> Vec<StringRecord> {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(Result::unwrap).collect()
}

#[test]
fn a_row_for_each_sample() {
    let mut run = example::held();
    run.timeline[1].server = None;
    let text = tables::timeline(&run).unwrap();
    let rows = read(&text);
    assert_eq!(rows.len(), run.timeline.len() + 1);
    assert_eq!(text.matches("\r\n").count(), rows.len());
    let column = |name: &str| rows[0].iter().position(|field| field == name).unwrap();
    assert_eq!(&rows[633][column("open")], "1000000");
    assert_eq!(&rows[2][column("server_cpu_s")], "");
    assert_eq!(
        rows[2][column("slab_bytes")],
        run.timeline[1].kernel.unwrap().slab_bytes.to_string()
    );
    assert_eq!(
        &rows[633][column("available_bytes")],
        &(((22_u64 << 30) - 8_500_000_000).to_string())
    );
}

#[test]
fn a_row_for_each_load_whatever_its_name() {
    let mut run = example::echoed();
    run.loads[0].name = "a, \"b\"\nc".to_owned();
    run.loads[1].offered_per_s = None;
    let rows = read(&tables::loads(&run).unwrap());
    assert_eq!(rows.len(), run.loads.len() + 1);
    let column = |name: &str| rows[0].iter().position(|field| field == name).unwrap();
    assert_eq!(&rows[1][0], "a, \"b\"\nc");
    assert_eq!(&rows[2][column("offered_per_s")], "");
    assert_eq!(&rows[8][column("valid")], "false");
    assert_eq!(&rows[8][column("invalid_because")], "the generator's CPU stood at 93 %");
    let last = run.loads[7].latency.lag.max_us.to_string();
    assert_eq!(rows[8][column("lag_max_us")], last);
    assert_eq!(column("lag_max_us"), rows[0].len() - 1);
}

#[test]
fn nothing_is_a_header_alone() {
    assert_eq!(read(&tables::timeline(&example::nothing()).unwrap()).len(), 1);
    assert_eq!(read(&tables::loads(&example::nothing()).unwrap()).len(), 1);
}
