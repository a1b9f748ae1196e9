//! Two ways to train the same classifier, side by side.

use crate::{Outcome, REPOSITORY};
use plotters::prelude::*;
use std::io::Write;
use std::path::Path;

/// What came of a training.
pub struct Training {
    /// Whose loss it was.
    pub name: &'static str,
    /// The mean loss before each step, and the seconds since the first.
    pub steps: Vec<(f64, f64)>,
    /// The mean loss of the images held out.
    pub loss: f64,
    /// The part of the images held out that are recognised.
    pub accuracy: f64,
}

/// Prints the trainings side by side and draws their losses over time into `target/digits/PICTURE.svg`.
///
/// # Errors
/// If the picture cannot be written, or a training has recognised less than 95 of 100 images.
pub fn compare(trainings: &[Training], picture: &str) -> Outcome<()> {
    let mut out = anstream::stdout();
    writeln!(out, "{:<12} held out: accuracy      loss   training: seconds   loss at the end", "")?;
    for Training { name, steps, loss, accuracy } in trainings {
        let (last, seconds) = *steps.last().ok_or("a training without steps")?;
        writeln!(out, "{name:<12} {accuracy:>18.4} {loss:>9.4} {seconds:>19.3} {last:>17.6}")?;
    }
    let path = format!("target/digits/{picture}.svg");
    std::fs::create_dir_all(Path::new(REPOSITORY).join("target/digits"))?;
    draw(trainings, &Path::new(REPOSITORY).join(&path)).map_err(|error| format!("{path}: {error}"))?;
    writeln!(out, "loss over time: {path}")?;
    match trainings.iter().find(|training| training.accuracy.is_nan() || training.accuracy < 0.95) {
        Some(Training { name, accuracy, .. }) => {
            Err(format!("{name}: an accuracy of {accuracy:.4} is too low").into())
        }
        None => Ok(()),
    }
}

fn draw(trainings: &[Training], path: &Path) -> Outcome<()> {
    const COLOURS: [RGBColor; 2] = [RGBColor(0, 94, 162), RGBColor(200, 90, 0)];
    let all = || trainings.iter().flat_map(|training| &training.steps);
    let end = all().map(|step| step.1).fold(0.0, f64::max);
    let (least, greatest) =
        all().fold((f64::MAX, 0.0_f64), |(least, greatest), step| (least.min(step.0), greatest.max(step.0)));
    let root = SVGBackend::new(path, (760, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Handwritten digits: loss over time", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..end, (least * 0.9..greatest * 1.1).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .y_desc("mean loss, training")
        .y_label_formatter(&|loss| format!("{}", (loss * 1e3).round() / 1e3))
        .draw()?;
    for (training, colour) in trainings.iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(
                training.steps.iter().map(|&(loss, seconds)| (seconds, loss)),
                colour.stroke_width(2),
            ))?
            .label(training.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(root.present()?)
}
