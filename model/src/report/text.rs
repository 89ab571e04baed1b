//! Words and numbers that several reports have in common.
//!
//! Guarantees: a number, a step, a reply and a broken rule read the same in every report. Refuses to
//! know: how a report is laid out, and what it has to escape.

use super::results::DiagramStep;

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A step of a diagram, counted from 1; a fault says so in a word, not by a colour alone.
#[must_use]
pub(super) fn step(number: usize, step: &DiagramStep) -> String {
    let fault = if step.is_fault { "FAULT: " } else { "" };
    format!("{number}. {fault}{}", step.label)
}

/// What the receiver answered in a step.
#[must_use]
pub(super) fn reply(step: &DiagramStep) -> Option<String> {
    step.reply.as_ref().map(|reply| format!("reply: {reply}"))
}

/// The rules that are broken at the end, each by itself.
#[must_use]
pub(super) fn broken(rules: &[String]) -> Vec<String> {
    rules.iter().map(|rule| format!("broken: {rule}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
