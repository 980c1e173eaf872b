//! `GET /metrics`: the node in the text format of Prometheus, made on scrape.
//!
//! Reactors are told apart only where one of them alone can be in trouble; with
//! 64 of them the page has some 3,100 lines.

mod broadcast;
mod cluster;
mod door;
mod node;

use super::Site;
use super::answer::Refusal;
use crate::metrics::{self, Cause, Metrics, Pace, ReactorStats, Tally};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{TEXT_FORMAT, TextEncoder};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers with all metrics.
pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let page = Page(Vec::new())
        .of_node(&site)
        .of_room(&site)
        .of_drain(&site)
        .of_reactors(&site)
        .of_traffic(&site.metrics)
        .of_queues(&site.metrics)
        .of_broadcasts(site.hub.router.broadcasts().state())
        .of_door(&site.metrics, site.readiness.tasks().failures())
        .of_cluster(site.cluster.as_deref(), &site.metrics);
    match TextEncoder::new().encode_to_string(&page.0) {
        Ok(text) => {
            ([(CONTENT_TYPE, TEXT_FORMAT), (CACHE_CONTROL, "no-store")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            Refusal::Broken.into_response()
        }
    }
}

struct Page(Vec<MetricFamily>);

type Labels = Vec<(&'static str, String)>;

impl Page {
    fn of_reactors(self, site: &Site) -> Self {
        let blocks = || site.metrics.reactors.iter().enumerate();
        let label = |index: usize| vec![("reactor", index.to_string())];
        let gauge = |of: fn(&ReactorStats) -> f64| {
            blocks().map(move |(index, block)| (label(index), of(block)))
        };
        let depths = site.hub.router.depths().enumerate();
        let histograms = |of: fn(&Pace) -> &metrics::Histogram, unit: f64| {
            blocks().map(move |(index, block)| (label(index), histogram(of(&block.pace), unit)))
        };
        self.gauges(
            "millgate_connections",
            "Sockets held, handshakes included, by reactor.",
            gauge(|block| as_f64(block.connections.get())),
        )
        .gauges(
            "millgate_mailbox_depth",
            "Orders that wait for a reactor now.",
            depths.map(|(index, depth)| (label(index), as_f64(depth as u64))),
        )
        .histograms(
            "millgate_turn_mail_depth",
            "Orders that waited for a reactor when a turn of its loop began, counted every turn.",
            histograms(|pace| &pace.mail_depth, 1.0),
        )
        .histograms(
            "millgate_wheel_lag_seconds",
            "How late a turn came for the oldest time-out that was due, 0 for none, counted every turn.",
            histograms(|pace| &pace.wheel_lag_ms, 1e3),
        )
        .histograms(
            "millgate_turn_seconds",
            "Time of one turn of a reactor's loop, waiting left out.",
            histograms(|pace| &pace.turn_us, 1e6),
        )
    }

    fn of_traffic(self, metrics: &Metrics) -> Self {
        let total = |of: fn(&ReactorStats) -> &Tally| metrics.total(of);
        let closes = Cause::ALL.into_iter().map(|(cause, name)| {
            let ends = metrics.total(|block| &block.closes[cause as usize]);
            (vec![("cause", name.to_owned())], as_f64(ends))
        });
        let both_ways = |received: u64, sent: u64| {
            [("in", received), ("out", sent)]
                .map(|(way, n)| (vec![("direction", way.to_owned())], as_f64(n)))
        };
        self.counter("millgate_accepts_total", "Sockets accepted.", total(|b| &b.accepts))
            .counter(
                "millgate_accept_errors_total",
                "Accepts that failed for one connection.",
                total(|b| &b.accept_errors),
            )
            .counter(
                "millgate_accept_pauses_total",
                "Pauses because the kernel was out of descriptors or memory.",
                total(|b| &b.accept_pauses),
            )
            .counter(
                "millgate_handshakes_total",
                "Handshakes answered 101.",
                total(|b| &b.handshakes),
            )
            .counter(
                "millgate_tls_handshakes_total",
                "TLS handshakes completed.",
                total(|b| &b.tls_handshakes),
            )
            .counter("millgate_logins_total", "Logins accepted.", total(|b| &b.logins))
            .counters("millgate_closes_total", "Connections ended, by cause.", closes)
            .counters(
                "millgate_messages_total",
                "Messages from (in) and frames to (out) clients.",
                both_ways(total(|b| &b.messages_in), total(|b| &b.messages_out)),
            )
            .counters(
                "millgate_bytes_total",
                "Bytes read from (in) and written to (out) clients.",
                both_ways(total(|b| &b.bytes_in), total(|b| &b.bytes_out)),
            )
    }

    fn of_queues(self, metrics: &Metrics) -> Self {
        let total = |of: fn(&ReactorStats) -> &Tally| metrics.total(of);
        let shared = &metrics.shared;
        self.gauge(
            "millgate_outbox_bytes",
            "Bytes that wait for slow peers.",
            total(|b| &b.outbox_bytes),
        )
        .gauge(
            "millgate_outbox_connections",
            "Connections with bytes that wait.",
            total(|b| &b.outbox_connections),
        )
        .counter(
            "millgate_client_messages_dropped_total",
            "Messages of clients thrown away because they send too many.",
            total(|b| &b.dropped),
        )
        .counter(
            "millgate_undeliverable_total",
            "Messages for connections that were gone when they arrived.",
            total(|b| &b.undeliverable),
        )
        .counter(
            "millgate_fanout_waves_total",
            "Passes over the members of an app.",
            total(|b| &b.fanout_waves),
        )
        .counter(
            "millgate_deliver_refused_total",
            "Messages to one user that a full mailbox refused.",
            load(&shared.deliver_refused),
        )
        .counter(
            "millgate_fanout_refused_total",
            "Broadcasts and announcements that at least one reactor could not take.",
            load(&shared.fanout_refused),
        )
        .counter(
            "millgate_announcements_deferred_total",
            "Arrivals and departures left to a digest, because their room has heard of too many.",
            load(&shared.announcements_deferred),
        )
        .counter(
            "millgate_digests_total",
            "Digests sent to rooms too large for exact announcements.",
            load(&shared.digests),
        )
    }

    fn gauge(self, name: &str, help: &str, value: u64) -> Self {
        self.gauges(name, help, [(Vec::new(), as_f64(value))])
    }

    fn counter(self, name: &str, help: &str, value: u64) -> Self {
        self.counters(name, help, [(Vec::new(), as_f64(value))])
    }

    fn gauges(
        self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        self.values(name, help, MetricType::GAUGE, values, |metric, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        })
    }

    fn counters(
        self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        self.values(name, help, MetricType::COUNTER, values, |metric, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        })
    }

    fn histograms(
        self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels, Histogram)>,
    ) -> Self {
        let metrics = values.map(|(labels, histogram)| {
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_histogram(histogram);
            metric
        });
        self.family(name, help, MetricType::HISTOGRAM, metrics)
    }

    fn values(
        self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels, f64)>,
        put: impl Fn(&mut Metric, f64),
    ) -> Self {
        let metrics = values.into_iter().map(|(labels, value)| {
            let mut metric = Metric::from_label(pairs(labels));
            put(&mut metric, value);
            metric
        });
        self.family(name, help, kind, metrics)
    }

    fn family(
        mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        metrics: impl Iterator<Item = Metric>,
    ) -> Self {
        let metrics: Vec<Metric> = metrics.collect();
        // The text format has no families without a sample: a node may have no peers.
        if metrics.is_empty() {
            return self;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
        self
    }
}

fn pairs(labels: Labels) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    };
    labels.into_iter().map(pair).collect()
}

/// Prometheus counts from the bottom up: a bucket holds all that the smaller
/// ones hold. So many of what was counted make one `unit`.
fn histogram(counted: &metrics::Histogram, unit: f64) -> Histogram {
    let (counts, sum) = counted.read();
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(counted.bounds.len());
    for (bound, count) in counted.bounds.iter().zip(counts) {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(as_f64(*bound) / unit);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(as_f64(sum) / unit);
    histogram
}

fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

/// The format knows only floating-point numbers; above 2⁵³ the last digits do not matter.
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAIL_DEPTH_MAX;

    #[test]
    fn a_full_mailbox_has_a_bucket_of_its_own() {
        assert_eq!(Pace::default().mail_depth.bounds.last(), Some(&(MAIL_DEPTH_MAX as u64)));
    }

    #[test]
    fn buckets_are_cumulative() {
        let turns = Pace::default().turn_us;
        for us in [5, 20, 20, 900_000] {
            turns.record(us);
        }
        let values = [(Vec::new(), histogram(&turns, 1e6))];
        let page = Page(Vec::new()).histograms("t", "help", values.into_iter());
        let text = TextEncoder::new().encode_to_string(&page.0).unwrap();
        for line in [
            "t_bucket{le=\"0.00001\"} 1",
            "t_bucket{le=\"0.00003\"} 3",
            "t_bucket{le=\"0.5\"} 3",
            "t_bucket{le=\"+Inf\"} 4",
            "t_sum 0.900045",
            "t_count 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
