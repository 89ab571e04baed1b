//! The throughput of each receiver over the size of the chunks, as a picture.
//!
//! Guarantees: draws medians that the tables print, a panel for each file system. Refuses to know:
//! how they were measured.

use std::path::Path;

use plotters::prelude::*;

use crate::Outcome;
use crate::measured::{Measured, OfDirectory, Phase};
use crate::receivers::{Kind, Times};
use crate::support::size_name;

/// Of a panel, in pixels.
const SIZE: (u32, u32) = (470, 380);

/// Who is drawn, by which name, in which colour; those that a user chooses between.
const SERIES: [(Kind, &str, RGBColor); 4] = [
    (Kind::Plain, "plain loop (one thread)", RGBColor(110, 110, 110)),
    (Kind::Stream, "receive(stream)", RGBColor(0, 114, 178)),
    (Kind::AsyncCurrentThread, "handle_chunk", RGBColor(0, 158, 115)),
    (Kind::Naive, "naive design", RGBColor(213, 94, 0)),
];

/// Draws every panel into one file.
pub(crate) fn draw(all: &[OfDirectory], path: &Path) -> Outcome<()> {
    let panels = u32::try_from(all.len())?.max(1);
    let root = SVGBackend::new(path, (SIZE.0 * panels, SIZE.1 * 2)).into_drawing_area();
    root.fill(&WHITE)?;
    let phases: [(&str, Phase); 2] = [
        ("written and checksummed", |times| times.data),
        ("until Committed", Times::whole),
    ];
    let areas = root.split_evenly((phases.len(), panels as usize));
    let mut areas = areas.iter();
    for (title, phase) in phases {
        for of_directory in all {
            let title = format!("{}: {title}", of_directory.file_system);
            // As many areas as were split off.
            let Some(area) = areas.next() else { break };
            draw_panel(area, &of_directory.results, &title, phase)?;
        }
    }
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_panel(area: &Area<'_>, results: &[Measured], title: &str, phase: Phase) -> Outcome<()> {
    let ratios = |kind: Kind| -> Vec<(f64, f64)> {
        let ratios = results.iter().enumerate();
        ratios
            .map(|(place, measured)| (place as f64, measured.ratio(kind, phase)))
            .collect()
    };
    let highest = SERIES
        .iter()
        .flat_map(|(kind, ..)| ratios(*kind))
        .map(|(_, ratio)| ratio);
    let highest = highest.fold(1.0, f64::max) * 1.05;
    let last = results.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(46)
        .build_cartesian_2d(-0.2..last + 0.2, 0.0..highest)?;
    let chunk_size = |place: &f64| {
        let nearest = results
            .iter()
            .enumerate()
            .find(|(index, _)| (*index as f64 - place).abs() < 0.01);
        nearest.map_or_else(String::new, |(_, measured)| size_name(measured.chunk_bytes))
    };
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(results.len() + 1)
        .x_label_formatter(&chunk_size)
        .y_label_formatter(&|ratio| format!("{ratio:.1}"))
        .x_desc("chunk")
        .y_desc("part of the plain loop")
        .draw()?;
    for (kind, name, colour) in SERIES {
        let points = ratios(kind);
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    Ok(())
}
