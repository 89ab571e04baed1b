//! The bug matrix as a picture that stands alone: clauses by layers.
//!
//! Guarantees: a cell counts the seeded bugs that break a clause and that a layer runs; one that
//! survived is never hidden by those that were caught; where no layer has a bug, the row says why. Refuses to know: the page, and what a bug does.

use maud::{Markup, PreEscaped, html};

use super::super::results::{BugResult, Results, layers};

const STYLE: &str = "text{font:11px ui-monospace,SFMono-Regular,Menlo,monospace;fill:#24292f}\
    .page{fill:#fff}.cell{stroke:#fff}.none{fill:#f0f2f4}.survived{fill:#cf222e}.number{text-anchor:middle}\
    .white{fill:#fff}.head{font-weight:bold}";
/// From one row to the next, and from one column to the next.
const ROW: usize = 16;
const COLUMN: usize = 92;
const LEFT: usize = 108;
const TOP: usize = 30;
/// As many bugs as this, or more, have the darkest cell.
const DARKEST: usize = 8;

/// What a layer found of the bugs that break a clause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    caught: usize,
    survived: usize,
}

impl Cell {
    fn of(bugs: &[BugResult], clause: &str, layer: &str) -> Self {
        let breaking = bugs
            .iter()
            .filter(|bug| bug.clauses.iter().any(|broken| broken == clause));
        let outcomes = breaking.flat_map(|bug| bug.layers.iter().filter(|(name, _)| name == layer));
        let mut cell = Self::default();
        for (_, is_caught) in outcomes {
            if *is_caught {
                cell.caught += 1;
            } else {
                cell.survived += 1;
            }
        }
        cell
    }

    fn text(self) -> String {
        match (self.caught, self.survived) {
            (0, 0) => String::new(),
            (caught, 0) => caught.to_string(),
            (caught, survived) => format!("{survived} of {} survived", caught + survived),
        }
    }
}

/// The matrix of these results.
#[must_use]
pub fn matrix(results: &Results) -> String {
    let layers = layers(&results.bugs);
    let (wide, high) = (LEFT + COLUMN * layers.len() + 8, TOP + ROW * results.clauses.len() + 8);
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (wide) " " (high) } width=(wide) height=(high)
            role="img" aria-label="seeded bugs caught, by clause and layer" {
            style { (PreEscaped(STYLE)) }
            rect class="page" width=(wide) height=(high) {}
            @for (column, layer) in layers.iter().enumerate() {
                text class="head number" x=(LEFT + COLUMN * column + COLUMN / 2) y=(TOP - 8) { (layer) }
            }
            @for (row, clause) in results.clauses.iter().enumerate() {
                @let y = TOP + ROW * row;
                @let cells = layers.iter().map(|layer| Cell::of(&results.bugs, &clause.id, layer));
                text x="8" y=(y + 12) { (clause.id) title { (clause.text) } }
                @for (column, cell) in cells.clone().enumerate() { (drawn(cell, LEFT + COLUMN * column, y)) }
                @if cells.clone().all(|cell| cell == Cell::default()) {
                    text x=(LEFT + 8) y=(y + 12) { (clause.status.to_string()) }
                }
            }
        }
    };
    drawing.into_string()
}

fn drawn(cell: Cell, x: usize, y: usize) -> Markup {
    let class = match cell {
        Cell { survived: 1.., .. } => "cell survived",
        Cell { caught: 0, .. } => "cell none",
        Cell { .. } => "cell",
    };
    // From light to dark green.
    let lightness = 80 - 50 * cell.caught.min(DARKEST) / DARKEST;
    let is_dark = cell.survived > 0 || lightness < 55;
    html! {
        rect class=(class) x=(x) y=(y) width=(COLUMN) height=(ROW)
            fill=[(class == "cell").then(|| format!("hsl(137 45% {lightness}%)"))] {}
        text class={ "number" @if is_dark { " white" } } x=(x + COLUMN / 2) y=(y + 12) { (cell.text()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::results::ClauseResult;
    use super::*;

    fn bug(clause: &str, is_caught: bool) -> BugResult {
        BugResult {
            clauses: vec![clause.to_owned()],
            layers: vec![("model".to_owned(), is_caught)],
            is_caught,
            ..BugResult::default()
        }
    }

    fn drawing(bugs: Vec<BugResult>) -> String {
        let clauses = ["SR-OFF-001", "SR-OFF-002"].map(|id| ClauseResult {
            id: id.to_owned(),
            ..ClauseResult::default()
        });
        matrix(&Results {
            bugs,
            clauses: clauses.into(),
            ..Results::default()
        })
    }

    #[test]
    fn a_cell_counts_what_was_caught_and_an_empty_one_is_seen_to_be_empty() {
        let drawing = drawing(vec![bug("SR-OFF-001", true), bug("SR-OFF-001", true)]);
        assert!(drawing.contains(">2</text>"), "{drawing}");
        assert_eq!(drawing.matches("cell none").count(), 1, "{drawing}");
    }

    #[test]
    fn a_bug_that_survived_is_not_hidden_by_those_that_were_caught() {
        let drawing = drawing(vec![bug("SR-OFF-001", true), bug("SR-OFF-001", false)]);
        assert!(
            drawing.contains("cell survived") && drawing.contains("1 of 2 survived"),
            "{drawing}"
        );
    }
}
