//! A way to a broken rule, as a Mermaid sequence diagram.
//!
//! Guarantees: every step is one message, in order and numbered; a fault ends in a cross inside a
//! red band; whatever a label holds reaches Mermaid as text, never as syntax. Refuses to know: how
//! the way was found, and what it looks like once it is drawn.

use super::results::{Diagram, DiagramStep, Lane};
use super::text;

/// Band behind a fault: red, and pale enough for both a light and a dark page.
const FAULT_BAND: &str = "rect rgba(214, 40, 40, 0.18)";

/// The diagram as the text of one `sequenceDiagram`, to be put between Mermaid's fences.
#[must_use]
pub fn sequence_diagram(diagram: &Diagram) -> String {
    let mut lines = vec!["sequenceDiagram".to_owned()];
    if !diagram.title.is_empty() {
        lines.push(format!("    title {}", escaped(&diagram.title)));
    }
    lines.extend(Lane::ALL.map(|lane| format!("    participant {}", lane.name())));
    lines.extend(note(&diagram.legend));
    if diagram.steps.is_empty() {
        lines.push(over_all("no steps"));
    }
    for (index, step) in diagram.steps.iter().enumerate() {
        push_step(&mut lines, index + 1, step);
    }
    lines.extend(note(&diagram.end));
    lines.extend(note(&text::broken(&diagram.broken)));
    lines.push(String::new());
    lines.join("\n")
}

fn push_step(lines: &mut Vec<String>, number: usize, step: &DiagramStep) {
    let (from, to, label) = (step.from.name(), step.to.name(), escaped(&text::step(number, step)));
    let arrow = if step.is_fault { "-x" } else { "->>" };
    if step.is_fault {
        lines.push(format!("    {FAULT_BAND}"));
    }
    lines.push(format!("    {from}{arrow}{to}: {label}"));
    if let Some(reply) = text::reply(step) {
        let (receiver, source) = (Lane::Receiver.name(), Lane::Source.name());
        lines.push(format!("    {receiver}-->>{source}: {}", escaped(&reply)));
    }
    if step.is_fault {
        lines.push("    end".to_owned());
    }
}

/// One note under all lanes; none where there is nothing to say.
fn note(texts: &[String]) -> Option<String> {
    if texts.is_empty() {
        return None;
    }
    let texts: Vec<String> = texts.iter().map(|text| escaped(text)).collect();
    Some(over_all(&texts.join("<br/>")))
}

fn over_all(text: &str) -> String {
    let (first, last) = (Lane::Source.name(), Lane::Disk.name());
    format!("    Note over {first},{last}: {text}")
}

/// The text with everything but letters, digits and harmless marks as Mermaid's entity codes.
///
/// A list of what is let through, not of what is not: Mermaid gives a meaning to `;` and `#`, to
/// `%%`, `$$`, `<`, and to a colon where `style` or `wrap` stands near it.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.replace("\r\n", "\n").chars() {
        match char {
            '\n' => safe.push_str("<br/>"),
            control if control.is_control() => safe.push(' '),
            ' ' | '.' | ',' | '-' | '_' | '(' | ')' | '/' | '=' | '*' | '?' | '!' => safe.push(char),
            letter if letter.is_alphanumeric() => safe.push(letter),
            other => safe.push_str(&format!("#{};", u32::from(other))),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: Lane, to: Lane, label: &str) -> DiagramStep {
        DiagramStep::plain(from, to, label)
    }

    fn drawn(steps: Vec<DiagramStep>) -> String {
        sequence_diagram(&Diagram {
            steps,
            ..Diagram::default()
        })
    }

    #[test]
    fn the_lanes_stand_in_order_from_left_to_right() {
        let lanes = "participant source\n    participant network\n    participant receiver\n    participant disk\n";
        assert!(drawn(Vec::new()).contains(lanes));
    }

    #[test]
    fn every_step_appears_in_order_with_its_number() {
        let text = drawn(vec![
            step(Lane::Source, Lane::Network, "sends"),
            step(Lane::Network, Lane::Receiver, "delivers"),
            step(Lane::Receiver, Lane::Receiver, "opens"),
        ]);
        let messages: Vec<&str> = text.lines().map(str::trim).filter(|line| line.contains(">>")).collect();
        let expected = [
            "source->>network: 1. sends",
            "network->>receiver: 2. delivers",
            "receiver->>receiver: 3. opens",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn a_fault_ends_in_a_cross_inside_a_red_band() {
        let mut fault = step(Lane::Disk, Lane::Disk, "sync fails");
        fault.is_fault = true;
        let text = drawn(vec![fault]);
        let band = format!("    {FAULT_BAND}\n    disk-xdisk: 1. FAULT#58; sync fails\n    end\n");
        assert!(text.contains(&band), "{text}");
    }

    #[test]
    fn a_reply_goes_back_dashed() {
        let mut answered = step(Lane::Network, Lane::Receiver, "delivers");
        answered.reply = Some("Pending".to_owned());
        assert!(drawn(vec![answered]).contains("    receiver-->>source: reply#58; Pending\n"));
    }

    #[test]
    fn what_mermaid_gives_a_meaning_to_is_escaped() {
        let text = drawn(vec![step(
            Lane::Source,
            Lane::Disk,
            "a;b #c \"d\" %%{e}\nstyle: <f>\t$$",
        )]);
        let label = "1. a#59;b #35;c #34;d#34; #37;#37;#123;e#125;<br/>style#58; #60;f#62; #36;#36;\n";
        assert!(text.contains(label), "{text}");
    }

    #[test]
    fn the_end_and_the_broken_rules_are_notes_at_the_end() {
        let text = sequence_diagram(&Diagram {
            broken: vec!["SR-OFF-003 only the next offset".to_owned()],
            end: vec!["database 0: lost".to_owned(), "database 1: well".to_owned()],
            ..Diagram::default()
        });
        let notes = "    Note over source,disk: database 0#58; lost<br/>database 1#58; well\n    \
                     Note over source,disk: broken#58; SR-OFF-003 only the next offset\n";
        assert!(text.ends_with(notes), "{text}");
    }

    #[test]
    fn a_way_without_steps_still_says_so() {
        assert!(drawn(Vec::new()).ends_with("    Note over source,disk: no steps\n"));
    }
}
