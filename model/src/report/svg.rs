//! Drawings for the page: a way to a broken rule in four lanes, and the growth of state spaces.
//!
//! Guarantees: every step, state line, reply and broken rule of a diagram is in its drawing, whole:
//! text is wrapped, never cut; what is text stays text. No identifiers, so that any number of
//! drawings stand on one page. Refuses to know: colours and fonts, which belong to the page, and what a
//! label means.

use maud::{Markup, PreEscaped, html};

use super::results::{Diagram, DiagramStep, Lane, SystemResult};

/// How wide a drawing is, in its own units; its text is readable at one unit a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// For a desk and for paper.
    Wide,
    /// For a hand.
    Narrow,
}

impl Width {
    const fn units(self) -> usize {
        match self {
            Self::Wide => 640,
            Self::Narrow => 356,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// How many styles (`s0`, `s1`, ...) the lines of the growth have.
const SERIES_STYLES: usize = 8;

/// Room for one character of a label, bold or not, and of a state line: a little more than most
/// fonts need.
const LABEL_CHARACTER: usize = 8;
const SMALL_CHARACTER: usize = 6;
/// From one line of text to the next.
const LABEL_LINE: usize = 15;
const SMALL_LINE: usize = 12;
const MARGIN: usize = 4;
/// How far a message from a lane to itself reaches out.
const LOOP_REACH: usize = 26;

/// The diagram in four lanes.
#[must_use]
pub fn sequence(diagram: &Diagram, width: Width) -> Markup {
    let mut drawing = Drawing::new(width.units());
    for (index, step) in diagram.steps.iter().enumerate() {
        drawing.step(index + 1, step);
    }
    if diagram.steps.is_empty() {
        drawing.label("label", drawing.width / 2, "no steps");
    }
    drawing.y += 6;
    drawing.states(&diagram.end);
    let lifelines_end = drawing.y + 4;
    drawing.broken(&diagram.broken);
    let (wide, high) = (drawing.width, drawing.y + MARGIN);
    html! {
        svg class={ "sequence " (width.class()) } viewBox={ "0 0 " (wide) " " (high) }
            role="group" aria-label={ "sequence diagram: " (diagram.title) } {
            @for lane in Lane::ALL {
                @let x = drawing.lane(lane);
                @let half = if width == Width::Wide { 44 } else { 36 };
                line class="life" x1=(x) y1="22" x2=(x) y2=(lifelines_end) {}
                rect class="head" x=(x - half) y="1" width=(2 * half) height="21" rx="4" {}
                text class="lane" x=(x) y="16" { (lane.name()) }
            }
            (PreEscaped(drawing.body))
        }
    }
}

/// What an arrow stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrow {
    Message,
    Fault,
    Reply,
}

impl Arrow {
    const fn class(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Fault => "fault",
            Self::Reply => "reply",
        }
    }
}

/// What is drawn so far, and how far down it reaches.
struct Drawing {
    body: String,
    width: usize,
    y: usize,
}

impl Drawing {
    fn new(width: usize) -> Self {
        let body = String::new();
        Self { body, width, y: 30 }
    }

    fn lane(&self, lane: Lane) -> usize {
        let eighths = match lane {
            Lane::Source => 1,
            Lane::Network => 3,
            Lane::Receiver => 5,
            Lane::Disk => 7,
        };
        self.width * eighths / 8
    }

    fn push(&mut self, markup: Markup) {
        self.body.push_str(&markup.into_string());
    }

    fn step(&mut self, number: usize, step: &DiagramStep) {
        self.states(&step.before);
        self.y += 3;
        let (from, to) = (self.lane(step.from), self.lane(step.to));
        let (arrow, fault) = if step.is_fault {
            (Arrow::Fault, "FAULT: ")
        } else {
            (Arrow::Message, "")
        };
        let (top, start) = (self.y, self.body.len());
        self.label(
            arrow.class(),
            from.midpoint(to),
            &format!("{number}. {fault}{}", step.label),
        );
        if from == to {
            self.own_arrow(arrow, from);
        } else {
            self.arrow(arrow, from, to);
        }
        if step.is_fault {
            // Behind what it is about.
            let (width, height) = (self.width - 2, self.y - top);
            let band = html! { rect class="band" x="1" y=(top) width=(width) height=(height) rx="3" {} };
            self.body.insert_str(start, &band.into_string());
        }
        if let Some(reply) = &step.reply {
            let (receiver, source) = (self.lane(Lane::Receiver), self.lane(Lane::Source));
            self.label(
                Arrow::Reply.class(),
                receiver.midpoint(source),
                &format!("reply: {reply}"),
            );
            self.arrow(Arrow::Reply, receiver, source);
        }
        self.y += 5;
    }

    /// Lines of a state, small, from the left edge.
    fn states(&mut self, lines: &[String]) {
        let characters = (self.width - 2 * MARGIN) / SMALL_CHARACTER;
        for line in lines.iter().flat_map(|line| wrapped(line, characters)) {
            self.y += SMALL_LINE;
            self.push(html! { text class="state" x=(MARGIN) y=(self.y - 3) { (line) } });
        }
    }

    /// Lines of text around `x`, moved so that they stay inside the drawing.
    fn label(&mut self, class: &str, x: usize, text: &str) {
        let characters = ((self.width - 2 * MARGIN) / LABEL_CHARACTER).min(60);
        let lines = wrapped(text, characters);
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let half = (longest * LABEL_CHARACTER).div_ceil(2) + MARGIN;
        let x = x.min(self.width.saturating_sub(half)).max(half.min(self.width / 2));
        for line in lines {
            self.y += LABEL_LINE;
            self.push(html! { text class={ "label " (class) } x=(x) y=(self.y - 3) { (line) } });
        }
    }

    fn arrow(&mut self, arrow: Arrow, from: usize, to: usize) {
        self.y += 6;
        let y = self.y;
        self.push(html! { line class={ "arrow " (arrow.class()) } x1=(from) y1=(y) x2=(to) y2=(y) {} });
        self.head(arrow, to, y, from < to);
        self.y += 6;
    }

    fn own_arrow(&mut self, arrow: Arrow, x: usize) {
        let (top, bottom, out) = (self.y + 3, self.y + 13, x + LOOP_REACH);
        let path = format!("M{x} {top}H{out}V{bottom}H{x}");
        self.push(html! { path class={ "arrow " (arrow.class()) } d=(path) {} });
        self.head(arrow, x, bottom, false);
        self.y += 19;
    }

    /// The end of an arrow: a point, or the cross of a fault.
    fn head(&mut self, arrow: Arrow, x: usize, y: usize, is_rightward: bool) {
        match arrow {
            Arrow::Fault => {
                let (left, right, top, bottom) = (x - 5, x + 5, y - 5, y + 5);
                let path = format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}");
                self.push(html! { path class="arrow cross" d=(path) {} });
            }
            Arrow::Message | Arrow::Reply => {
                let back = if is_rightward { x - 8 } else { x + 8 };
                let path = format!("M{x} {y}L{back} {}V{}Z", y - 4, y + 4);
                self.push(html! { path class={ "point " (arrow.class()) } d=(path) {} });
            }
        }
    }

    /// The rules that are broken where the way ends, boxed.
    fn broken(&mut self, rules: &[String]) {
        if rules.is_empty() {
            return;
        }
        let characters = (self.width - 24) / LABEL_CHARACTER;
        let rules = rules.iter().map(|rule| format!("broken: {rule}"));
        let lines: Vec<String> = rules.flat_map(|rule| wrapped(&rule, characters)).collect();
        let (top, height) = (self.y + 10, lines.len() * LABEL_LINE + 12);
        self.push(html! { rect class="broken" x="2" y=(top) width=(self.width - 4) height=(height) rx="4" {} });
        self.y = top + 4;
        for line in lines {
            self.y += LABEL_LINE;
            self.push(html! { text class="label verdict" x="12" y=(self.y - 3) { (line) } });
        }
        self.y = top + height;
    }
}

/// The text in lines of at most so many characters: broken at spaces and line ends, and inside a
/// word only where it is longer than a line.
fn wrapped(text: &str, characters: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let (mut line, mut length) = (String::new(), 0);
        for word in paragraph.split_whitespace() {
            let word: Vec<char> = word.chars().collect();
            for (part, piece) in word.chunks(characters.max(1)).enumerate() {
                let space = usize::from(part == 0 && length > 0);
                if length > 0 && (part > 0 || length + space + piece.len() > characters) {
                    lines.push(std::mem::take(&mut line));
                    length = 0;
                }
                if length > 0 {
                    line.push(' ');
                    length += 1;
                }
                line.extend(piece);
                length += piece.len();
            }
        }
        lines.push(line);
    }
    lines
}

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
pub(super) fn grown(systems: &[SystemResult]) -> impl Iterator<Item = (usize, &SystemResult)> {
    systems.iter().filter(|system| !system.growth.is_empty()).enumerate()
}

/// The styles recur where there are more systems; the numbers at the peaks do not.
fn style(number: usize) -> String {
    format!("s{}", number % SERIES_STYLES)
}

/// A piece of a system's line, for the legend.
#[must_use]
pub(super) fn swatch(number: usize) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 28 8" aria-hidden="true" {
            path class={ "series " (style(number)) } d="M0 4H28" {}
        }
    }
}

/// Where the most states are, and how many; the first such depth.
pub(super) fn peak(growth: &[usize]) -> (usize, usize) {
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

    fn step(from: Lane, to: Lane, label: &str) -> DiagramStep {
        DiagramStep {
            from,
            to,
            label: label.to_owned(),
            is_fault: false,
            before: Vec::new(),
            reply: None,
        }
    }

    fn drawn(steps: Vec<DiagramStep>) -> String {
        let diagram = Diagram {
            steps,
            broken: vec!["SR-OFF-003 order".to_owned()],
            ..Diagram::default()
        };
        sequence(&diagram, Width::Wide).into_string()
    }

    fn system(growth: &[usize]) -> SystemResult {
        SystemResult {
            name: "a<b".to_owned(),
            growth: growth.to_vec(),
            ..SystemResult::default()
        }
    }

    #[test]
    fn every_step_state_reply_and_broken_rule_appears() {
        let mut first = step(Lane::Source, Lane::Network, "sends");
        first.before = vec!["database 0: awaits".to_owned(), "database 1: gone".to_owned()];
        first.reply = Some("Pending".to_owned());
        let text = drawn(vec![first, step(Lane::Receiver, Lane::Receiver, "opens")]);
        for part in [
            ">1. sends<",
            ">2. opens<",
            ">database 0: awaits<",
            ">database 1: gone<",
            ">reply: Pending<",
            ">broken: SR-OFF-003 order<",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains(r#"class="arrow reply""#));
    }

    #[test]
    fn a_fault_is_marked_by_a_word_a_cross_and_a_band() {
        let mut fault = step(Lane::Disk, Lane::Disk, "sync");
        assert!(!drawn(vec![fault.clone()]).contains("fault"));
        fault.is_fault = true;
        let text = drawn(vec![fault]);
        for part in [
            "1. FAULT: sync",
            r#"class="band""#,
            r#"class="arrow cross""#,
            "label fault",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_a_label_holds_stays_text() {
        let text = drawn(vec![step(Lane::Source, Lane::Disk, "</text><script>&\"")]);
        assert!(text.contains("1. &lt;/text&gt;&lt;script&gt;&amp;&quot;"), "{text}");
    }

    #[test]
    fn long_text_is_wrapped_and_none_is_lost() {
        assert_eq!(wrapped("ab cd efghij k", 5), ["ab cd", "efghi", "j k"]);
        assert_eq!(wrapped("one\ntwo three", 9), ["one", "two three"]);
        assert_eq!(wrapped("äöü äöü", 3), ["äöü", "äöü"]);
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
