//! Plots as SVG that sits inside a page: it scales, and takes the page's colours.
//!
//! Each plot is drawn twice, wide and narrow, and the style sheet shows the one
//! that fits: text that shrinks with its picture cannot be read on a phone.

mod scale;

pub use scale::{Scale, Unit};

use plotters::coord::Shift;
use plotters::prelude::*;

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows, for those who cannot see it; text of our own, never from outside.
    pub title: &'static str,
    /// Along.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// What is drawn; those without points are left out.
    pub series: Vec<Series>,
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// What stands beside it.
    pub title: &'static str,
    /// What its numbers are.
    pub unit: Unit,
    /// How they are spaced.
    pub scale: Scale,
}

/// One set of points.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend, which is part of the page.
    pub name: &'static str,
    /// Its colour.
    pub tone: Tone,
    /// How it is drawn.
    pub mark: Mark,
    /// Where.
    pub points: Vec<(f64, f64)>,
}

/// Colours by their place; the style sheet turns each into one that fits its theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The main thing.
    First,
    /// Beside it.
    Second,
    /// A third.
    Third,
    /// What should not be.
    Alarm,
    /// A line of reference.
    Quiet,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through them.
    Line,
    /// Dots.
    Dots,
    /// A line with a dot at each.
    Both,
}

impl Tone {
    /// The CSS variable of this colour.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::First => "--s1",
            Self::Second => "--s2",
            Self::Third => "--s3",
            Self::Alarm => "--alarm",
            Self::Quiet => "--muted",
        }
    }

    /// Its colour in the light theme, by which the style sheet finds it.
    fn colour(self) -> RGBColor {
        match self {
            Self::First => RGBColor(0x25, 0x63, 0xEB),
            Self::Second => RGBColor(0xC2, 0x6A, 0x0A),
            Self::Third => RGBColor(0x0F, 0x8A, 0x6A),
            Self::Alarm => RGBColor(0xD0, 0x2F, 0x2F),
            Self::Quiet => MUTED,
        }
    }
}

impl Plot {
    /// Two `<svg>` elements, of the classes `wide` and `narrow`; none if no
    /// series has points that can be drawn.
    ///
    /// # Errors
    /// One line, when the plotting library refuses.
    pub fn svg(&self) -> Result<Option<String>, String> {
        let drawn = self.drawable();
        if drawn.is_empty() {
            return Ok(None);
        }
        let mut both = String::new();
        for (class, width, height) in [("wide", 720, 320), ("narrow", 350, 290)] {
            let drawing = self.draw(&drawn, width, height)?;
            both.push_str(&self.inline(&drawing, class, width, height));
        }
        Ok(Some(both))
    }

    /// Finite points, above zero where an axis is logarithmic, and not more than can be seen.
    fn drawable(&self) -> Vec<Series> {
        let fits = |(x, y): &(f64, f64)| self.x.scale.takes(*x) && self.y.scale.takes(*y);
        let series = self.series.iter().map(|series| {
            let points: Vec<(f64, f64)> = series.points.iter().copied().filter(fits).collect();
            Series { points: thinned(points), ..series.clone() }
        });
        series.filter(|series| !series.points.is_empty()).collect()
    }

    fn draw(&self, drawn: &[Series], width: u32, height: u32) -> Result<String, String> {
        let mut text = String::new();
        let area =
            SVGBackend::with_string(&mut text, (width * FINE, height * FINE)).into_drawing_area();
        let done = self.draw_on(&area, drawn, width, height).and_then(|()| area.present());
        drop(area);
        done.map_err(|error| error.to_string())?;
        Ok(text)
    }

    fn draw_on<'a>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        drawn: &[Series],
        width: u32,
        height: u32,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
        let points = || drawn.iter().flat_map(|series| series.points.iter());
        let (xs, ys) = (points().map(|point| point.0), points().map(|point| point.1));
        let x = self.x.scale.span(self.x.unit, xs, width as usize / 90);
        let y = self.y.scale.span(self.y.unit, ys, height as usize / 55);
        let longest = y.labels().iter().map(|label| label.chars().count()).max();
        let beside = 36 + 7 * longest.unwrap_or(0) as u32;
        let mut chart = ChartBuilder::on(area)
            .margin_top(12 * FINE)
            .margin_right(18 * FINE)
            .x_label_area_size(40 * FINE)
            .y_label_area_size(beside * FINE)
            .build_cartesian_2d(x, y)?;
        let font = ("system-ui, sans-serif", 12 * FINE).into_font().color(&MUTED);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(FINE))
            .axis_style(AXIS.stroke_width(FINE))
            .set_all_tick_mark_size(4 * FINE)
            .label_style(font.clone())
            .axis_desc_style(font)
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .draw()?;
        for series in drawn {
            let colour = series.tone.colour();
            let points = series.points.iter().copied();
            if series.mark != Mark::Dots {
                chart
                    .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2 * FINE)))?;
            }
            if series.mark != Mark::Line {
                chart.draw_series(points.map(|at| Circle::new(at, 4 * FINE, colour.filled())))?;
            }
        }
        Ok(())
    }

    /// The drawing without a size of its own, with a class and a name.
    fn inline(&self, drawing: &str, class: &str, width: u32, height: u32) -> String {
        let body = drawing.find('>').map_or("", |end| &drawing[end + 1..]);
        let (width, height) = (width * FINE, height * FINE);
        format!(
            "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{body}",
            self.title
        )
    }
}

/// At most [`POINTS_MAX`] points: of each stretch the first, the least, the
/// most and the last, so that no peak is lost.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 4);
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for part in points.chunks(stretch) {
        let indices = 0..part.len();
        let least = indices.clone().min_by(|a, b| part[*a].1.total_cmp(&part[*b].1));
        let most = indices.max_by(|a, b| part[*a].1.total_cmp(&part[*b].1));
        let mut chosen = vec![0, least.unwrap_or(0), most.unwrap_or(0), part.len() - 1];
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|index| part[index]));
    }
    kept
}

const POINTS_MAX: usize = 480;

/// The library draws on whole pixels: four of its for one of ours make lines smooth.
const FINE: u32 = 4;
const MUTED: RGBColor = RGBColor(0x5B, 0x64, 0x72);
const GRID: RGBColor = RGBColor(0xE4, 0xE7, 0xEC);
const AXIS: RGBColor = RGBColor(0xB4, 0xBB, 0xC6);

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>, scale: Scale) -> Plot {
        Plot {
            title: "A test",
            x: Axis { title: "time", unit: Unit::Seconds, scale: Scale::Linear },
            y: Axis { title: "latency", unit: Unit::Micros, scale },
            series: vec![Series { name: "a", tone: Tone::First, mark: Mark::Both, points }],
        }
    }

    #[test]
    fn a_plot_has_its_line_its_dots_and_its_labels() {
        let svg = plot(vec![(0.0, 10.0), (60.0, 2_000.0)], Scale::Log).svg().unwrap().unwrap();
        assert_eq!(svg.matches("<svg").count(), 2);
        assert_eq!(svg.matches("</svg>").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.matches("stroke=\"#2563EB\"").count() >= 2);
        for expected in ["latency", "100 µs", "1 ms", "1 min", "aria-label=\"A test\""] {
            assert!(svg.contains(expected), "{expected}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        assert_eq!(plot(vec![], Scale::Linear).svg(), Ok(None));
        assert_eq!(
            plot(vec![(1.0, f64::NAN), (f64::INFINITY, 1.0)], Scale::Linear).svg(),
            Ok(None)
        );
        assert_eq!(plot(vec![(1.0, 0.0)], Scale::Log).svg(), Ok(None));
        for point in [(0.0, 0.0), (5.0, -3.0), (1e300, 1e300)] {
            assert!(plot(vec![point], Scale::Linear).svg().unwrap().is_some(), "{point:?}");
        }
    }

    #[test]
    fn thinning_keeps_peaks_and_ends() {
        let mut points: Vec<(f64, f64)> = (0..50_000).map(|x| (f64::from(x), 1.0)).collect();
        points[31_234].1 = 99.0;
        points[31_235].1 = -99.0;
        let kept = thinned(points.clone());
        assert!(kept.len() <= POINTS_MAX, "{}", kept.len());
        assert!(kept.contains(&points[31_234]) && kept.contains(&points[31_235]));
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[49_999]));
    }
}
