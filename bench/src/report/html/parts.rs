//! What every section is made of: tables, figures with a legend, badges.

use crate::report::plot::{Mark, Plot, Series, Tone};
use maud::{Markup, PreEscaped, html};

/// A table that scrolls where it is too wide. A `>` before a heading sets it to the right;
/// without headings it is a narrow list of facts.
pub(super) fn table(headings: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div.scroll {
            table.facts[headings.is_empty()] {
                @if !headings.is_empty() {
                    thead { tr {
                        @for heading in headings {
                            @match heading.strip_prefix('>') {
                                Some(heading) => th.n { (heading) },
                                None => th { (heading) },
                            }
                        }
                    } }
                }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// A word in a coloured pill: `good`, `bad` or neither.
pub(super) fn badge(text: &str, tone: &str) -> Markup {
    html! { span class={ "badge " (tone) } { (text) } }
}

/// A plot with its caption and, where it has several series, their names; nothing if there is nothing to draw.
pub(super) fn figure(plot: &Plot, caption: &Markup) -> Result<Markup, String> {
    let Some(svg) = plot.svg()? else { return Ok(html! {}) };
    let drawn: Vec<&Series> =
        plot.series.iter().filter(|series| !series.points.is_empty()).collect();
    Ok(html! {
        figure {
            @if drawn.len() > 1 {
                ul.legend {
                    @for series in &drawn {
                        li { i style={ "background:var(" (series.tone.variable()) ")" } {} (series.name) }
                    }
                }
            }
            (PreEscaped(svg))
            figcaption { b { (plot.title) } " " (caption) }
        }
    })
}

/// A line of one series.
pub(super) fn line(name: &'static str, tone: Tone, points: Vec<(f64, f64)>) -> Series {
    Series { name, tone, mark: Mark::Line, points }
}
