//! Drawings: a way to a broken rule in four lanes and the growth of state spaces, for the page; the bug
//! matrix, which stands alone.
//!
//! Guarantees: what is text stays text; no identifiers, so that any number of drawings stand on one
//! page. Refuses to know: colours and fonts, which belong to the page, and what a label means.

mod growth;
mod matrix;
mod sequence;

pub use growth::growth;
pub(in crate::report) use growth::{grown, peak, swatch};
pub use matrix::matrix;
pub use sequence::sequence;

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
