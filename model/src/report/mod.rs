//! Results for people and for programs.
//!
//! Guarantees: every report is made of the same [`results`]; none leaves a failure out. Refuses to
//! know: how results come about.

pub mod collect;
pub mod diagram;
pub mod html;
pub mod json;
pub mod junit;
pub mod mermaid;
pub mod results;
pub mod svg;
pub mod terminal;
mod text;
