//! What is shown meanwhile: a bar on a terminal, plain lines elsewhere.

use crate::swarm::{Count, Totals};
use crate::units::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The progress of one step after the other; everything goes to stderr.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    goal: u64,
    /// When the next plain line is due.
    next_line: Duration,
}

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    /// A bar if stderr is a terminal and nobody has objected.
    #[must_use]
    pub fn new(no_tui: bool) -> Self {
        let bar = (!no_tui && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(
                "{msg:22} {bar:30.cyan/blue} {human_pos}/{human_len} {per_sec:>12} {elapsed:>4} {prefix}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, what: String::new(), goal: 0, next_line: Duration::ZERO }
    }

    pub(super) fn begin(&mut self, what: &str, goal: u64) {
        what.clone_into(&mut self.what);
        self.goal = goal;
        self.next_line = Duration::ZERO;
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(goal);
            bar.set_message(what.to_owned());
        }
    }

    pub(super) fn begin_time(&mut self, what: &str, time: Duration) {
        self.begin(what, time.as_secs());
    }

    pub(super) fn show(&mut self, reached: u64, totals: &Totals, now: Duration) {
        let extra = extra(totals);
        if let Some(bar) = &self.bar {
            bar.set_position(reached.min(self.goal));
            bar.set_prefix(extra);
        } else if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            let (what, reached, goal) = (&self.what, grouped(reached), grouped(self.goal));
            eprintln!("{:7.1}s  {what}: {reached} of {goal}  {extra}", now.as_secs_f64());
        }
    }

    pub(super) fn show_time(&mut self, passed: Duration, totals: &Totals) {
        if let Some(bar) = &self.bar {
            bar.set_position(passed.as_secs());
            bar.set_prefix(extra(totals));
        } else if passed >= self.next_line {
            self.next_line = passed + LINE_EVERY;
            let (passed, goal) = (passed.as_secs(), self.goal);
            eprintln!("{passed:7}s of {goal} s  {}  {}", self.what, extra(totals));
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What went otherwise than meant, if anything.
fn extra(totals: &Totals) -> String {
    let mut text = format!("{} open", grouped(totals[Count::Open]));
    for (count, name) in [(Count::Lost, "lost"), (Count::Failed, "failed")] {
        if totals[count] > 0 {
            text.push_str(&format!(", {} {name}", grouped(totals[count])));
        }
    }
    text
}
