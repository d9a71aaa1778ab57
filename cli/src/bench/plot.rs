use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::{Contender, Row};

/// Plots the throughput of each contender against the inputs, for the batch size nearest to 1 MiB.
pub fn draw(file: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let batch = rows.iter().map(|row| row.batch).min_by_key(|batch| batch.abs_diff(1 << 20)).unwrap_or_default();
    let rows: Vec<_> = rows.iter().filter(|row| row.batch == batch).collect();
    let most = rows.iter().flat_map(|row| row.speeds).fold(1e9, f64::max) / 1e9;
    let root = SVGBackend::new(file, (800, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Throughput with {} KiB batches, GB/s (log scale)", batch >> 10), ("sans-serif", 18))
        .margin(15)
        .x_label_area_size(30)
        .y_label_area_size(45)
        .build_cartesian_2d(-0.2..rows.len() as f64 - 0.8, (0.1..most * 1.3).log_scale())?;
    let name = |at: &f64| {
        let near = (at.round() - at).abs() < 0.01;
        rows.get(at.round() as usize).filter(|_| near && *at > -0.1).map(|row| row.input.clone()).unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(rows.len() * 5)
        .x_label_formatter(&name)
        .y_label_formatter(&|speed| format!("{speed:.1}"))
        .draw()?;
    for (contender, color) in Contender::ALL.into_iter().zip([BLACK, BLUE, RED, MAGENTA]) {
        let points: Vec<_> = (0..).map(f64::from).zip(rows.iter().map(|row| row.of(contender) / 1e9)).collect();
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
            .label(contender.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}
