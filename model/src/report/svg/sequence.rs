//! A way to a broken rule, in four lanes.
//!
//! Guarantees: every step, state line, reply and broken rule of a diagram is in its drawing, whole:
//! text is wrapped, never cut. Refuses to know: the page.

use maud::{Markup, PreEscaped, html};

use super::super::results::{Diagram, DiagramStep, Lane};
use super::super::text;
use super::Width;

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
        let arrow = if step.is_fault { Arrow::Fault } else { Arrow::Message };
        let (top, start) = (self.y, self.body.len());
        self.label(arrow.class(), from.midpoint(to), &text::step(number, step));
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
        if let Some(reply) = text::reply(step) {
            let (receiver, source) = (self.lane(Lane::Receiver), self.lane(Lane::Source));
            self.label(Arrow::Reply.class(), receiver.midpoint(source), &reply);
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
        let rules = text::broken(rules);
        let lines: Vec<String> = rules.iter().flat_map(|rule| wrapped(rule, characters)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: Lane, to: Lane, label: &str) -> DiagramStep {
        DiagramStep::plain(from, to, label)
    }

    fn drawn(steps: Vec<DiagramStep>) -> String {
        let diagram = Diagram {
            steps,
            broken: vec!["SR-OFF-003 order".to_owned()],
            ..Diagram::default()
        };
        sequence(&diagram, Width::Wide).into_string()
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
}
