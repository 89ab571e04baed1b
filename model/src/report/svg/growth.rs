//! The growth of state spaces: unique states by depth.
//!
//! Guarantees: a line for each system whose growth was measured, and none for another. Refuses to
//! know: the page.

use maud::{Markup, html};

use super::super::results::SystemResult;
use super::Width;

/// How many styles (`s0`, `s1`, ...) the lines of the growth have.
const SERIES_STYLES: usize = 8;

/// The unique states at each depth, one line for each system that has them, on a logarithmic axis.
///
/// Nothing where no system has them.
#[must_use]
pub fn growth(systems: &[SystemResult], width: Width) -> Option<Markup> {
    let plot = Plot::new(systems, width)?;
    let (left, right, top, bottom) = (plot.left(), plot.right(), plot.top(), plot.bottom());
    Some(html! {
        svg class={ "growth " (width.class()) } viewBox={ "0 0 " (plot.width) " " (plot.height) }
            role="group" aria-label="unique states at each depth, logarithmic" {
            @for decade in 0..=plot.decades {
                @let y = plot.y(10_usize.saturating_pow(decade));
                line class="grid" x1=(left) y1=(y) x2=(right) y2=(y) {}
                text class="tick" text-anchor="end" x=(left - 5.0) y=(y + 4.0) { (short(decade)) }
            }
            @for depth in (0..=plot.depth_max).step_by(plot.depth_step()) {
                @let x = plot.x(depth);
                line class="grid" x1=(x) y1=(top) x2=(x) y2=(bottom) {}
                text class="tick" text-anchor="middle" x=(x) y=(bottom + 15.0) { (depth) }
            }
            text class="axis" text-anchor="middle" x=(left.midpoint(right)) y=(bottom + 32.0) { "depth (steps)" }
            text class="axis" text-anchor="middle"
                transform={ "translate(12 " (top.midpoint(bottom)) ") rotate(-90)" } {
                "unique states (log)"
            }
            @for (number, system) in grown(systems) {
                path class={ "series " (style(number)) } d=(plot.path(&system.growth)) {
                    title { (system.name) }
                }
            }
            @for (number, system) in grown(systems) {
                @let (depth, count) = peak(&system.growth);
                circle class={ "peak " (style(number)) } cx=(plot.x(depth)) cy=(plot.y(count)) r="3" {}
                text class="mark" text-anchor="middle" x=(plot.x(depth)) y=(plot.y(count) - 6.0) { (number + 1) }
            }
        }
    })
}

/// The systems whose growth was measured, numbered from 0: the numbers of their styles, too.
pub(in crate::report) fn grown(systems: &[SystemResult]) -> impl Iterator<Item = (usize, &SystemResult)> {
    systems.iter().filter(|system| !system.growth.is_empty()).enumerate()
}

/// The styles recur where there are more systems; the numbers at the peaks do not.
fn style(number: usize) -> String {
    format!("s{}", number % SERIES_STYLES)
}

/// A piece of a system's line, for the legend.
#[must_use]
pub(in crate::report) fn swatch(number: usize) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 28 8" aria-hidden="true" {
            path class={ "series " (style(number)) } d="M0 4H28" {}
        }
    }
}

/// Where the most states are, and how many; the first such depth.
pub(in crate::report) fn peak(growth: &[usize]) -> (usize, usize) {
    let points = growth.iter().copied().enumerate().rev();
    points.max_by_key(|(_, count)| *count).unwrap_or_default()
}

/// `1`, `10`, `100`, `1k`, ...
fn short(decade: u32) -> String {
    let unit = ["", "k", "M", "G", "T", "P", "E"];
    let thousands = unit.iter().zip(0_u32..).find(|(_, index)| *index == decade / 3);
    let thousands = thousands.map_or("", |(unit, _)| unit);
    format!("{}{thousands}", 10_u32.pow(decade % 3))
}

/// From depths and counts to places.
struct Plot {
    width: f64,
    height: f64,
    depth_max: usize,
    decades: u32,
}

impl Plot {
    fn new(systems: &[SystemResult], width: Width) -> Option<Self> {
        let depth_max = grown(systems).map(|(_, system)| system.growth.len() - 1).max()?;
        let counts = grown(systems).flat_map(|(_, system)| &system.growth);
        let count_max = counts.copied().max().unwrap_or(1).max(1);
        let (width, height) = match width {
            Width::Wide => (640.0, 330.0),
            Width::Narrow => (356.0, 300.0),
        };
        Some(Self {
            width,
            height,
            depth_max,
            // Up to the power of ten that is not below the highest count.
            decades: (count_max - 1).checked_ilog10().map_or(1, |below| below + 1),
        })
    }

    const fn left(&self) -> f64 {
        56.0
    }

    const fn right(&self) -> f64 {
        self.width - 14.0
    }

    const fn top(&self) -> f64 {
        20.0
    }

    const fn bottom(&self) -> f64 {
        self.height - 40.0
    }

    fn x(&self, depth: usize) -> f64 {
        let part = depth as f64 / self.depth_max.max(1) as f64;
        tenths(self.left() + part * (self.right() - self.left()))
    }

    fn y(&self, count: usize) -> f64 {
        let part = (count.max(1) as f64).log10() / f64::from(self.decades);
        tenths(self.bottom() - part * (self.bottom() - self.top()))
    }

    /// So far apart that about ten depths are named, fewer where it is narrow.
    fn depth_step(&self) -> usize {
        let named = if self.width > 500.0 { 12 } else { 7 };
        let mut steps = (0..).flat_map(|power| [1, 2, 5].map(|factor| 10_usize.saturating_pow(power) * factor));
        steps.find(|step| self.depth_max / step <= named).unwrap_or(1)
    }

    /// A depth without states has no logarithm: the line is broken there.
    fn path(&self, growth: &[usize]) -> String {
        let mut path = String::new();
        let mut is_drawing = false;
        for (depth, count) in growth.iter().copied().enumerate() {
            if count > 0 {
                let command = if is_drawing { 'L' } else { 'M' };
                path.push_str(&format!("{command}{} {}", self.x(depth), self.y(count)));
            }
            is_drawing = count > 0;
        }
        path
    }
}

fn tenths(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(growth: &[usize]) -> SystemResult {
        SystemResult {
            name: "a<b".to_owned(),
            growth: growth.to_vec(),
            ..SystemResult::default()
        }
    }

    #[test]
    fn growth_is_a_line_for_each_measured_system() {
        let systems = [system(&[1, 10, 1_000]), system(&[]), system(&[1, 5, 0, 2])];
        let text = growth(&systems, Width::Wide).expect("measured").into_string();
        assert_eq!(text.matches("<title>a&lt;b</title>").count(), 2);
        assert_eq!(peak(&[1, 5, 5, 2]), (1, 5));
        assert!(text.contains(">1k<") && !text.contains(">10k<"));
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn growth_of_one_depth_with_one_state_is_drawn() {
        let text = growth(&[system(&[1])], Width::Narrow).expect("measured").into_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn growth_that_was_not_measured_is_not_drawn() {
        assert!(growth(&[system(&[])], Width::Wide).is_none());
    }
}
