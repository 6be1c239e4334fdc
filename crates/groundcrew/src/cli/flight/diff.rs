//! `flight diff`: the figures of two flights side by side.

use groundcrew_recorder::review::{Compared, REGRESSION_PERCENT, compare};
use serde::Serialize;

use super::markdown::{self, quoted, table};
use super::place::Meant;
use super::report::{Read, read};
use super::verify;
use crate::cli::print::{self, Printer};
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Shown {
    flights: [Side; 2],
    regressions: usize,
    figures: Vec<Line>,
}

#[derive(Serialize)]
struct Side {
    flight: String,
    damaged: bool,
    lost: bool,
}

#[derive(Serialize)]
struct Line {
    figure: String,
    /// `null`: the flight does not say.
    first: Option<f64>,
    second: Option<f64>,
    /// Of the first; `null`: one is absent, or the first is 0.
    change_percent: Option<f64>,
    regression: bool,
}

/// Compares two flights.
pub(super) fn run(first: &Meant, second: &Meant, printer: &Printer) -> Result<Exit, Refusal> {
    let (first, second) = (read(first)?, read(second)?);
    let compared = compare(&first.reviewed.figures, &second.reviewed.figures);
    let line = |one: &Compared| Line {
        figure: one.figure.name.clone(),
        first: one.figure.value,
        second: one.second,
        change_percent: one.change_percent,
        regression: one.regression,
    };
    let shown = Shown {
        flights: [&first, &second].map(side),
        regressions: compared.iter().filter(|one| one.regression).count(),
        figures: compared.iter().map(line).collect(),
    };
    printer.show(&shown, || text(&shown, &compared));
    let exits = [&first, &second].map(|one| {
        let exit = verify::exit(&one.report, one.report.lost());
        if exit != Exit::Done {
            let name = &one.said.flight;
            let text = "is damaged or lacks something; `groundcrew flight verify` says what";
            print::talk(&format!("groundcrew: {name} {text}"));
            verify::losses(&one.report).lines().for_each(print::talk);
        }
        exit
    });
    let [one, other] = exits;
    Ok(one.max(other))
}

fn side(read: &Read) -> Side {
    let said = &read.said;
    Side { flight: said.flight.clone(), damaged: said.damaged, lost: said.lost }
}

fn text(shown: &Shown, compared: &[Compared]) -> String {
    let [first, second] = [0, 1].map(|at: usize| {
        shown.flights.get(at).map_or_else(String::new, |side| quoted(&side.flight))
    });
    let regressions = shown.regressions;
    let mut text = format!(
        "# {first} and {second}\n\n{regressions} figures became worse by more than \
         {REGRESSION_PERCENT} %.\n"
    );
    for group in compared.chunk_by(|one, next| one.figure.group == next.figure.group) {
        let Some(head) = group.first() else { continue };
        let mut lines =
            vec![["figure", "first", "second", "change", ""].map(str::to_owned).to_vec()];
        let said = |one: &&Compared| one.figure.value.is_some() || one.second.is_some();
        lines.extend(group.iter().filter(said).map(line));
        let absent: Vec<String> =
            group.iter().filter(|one| !said(one)).map(|one| one.figure.words()).collect();
        text.push_str(&format!("\n## {}\n\n", head.figure.group));
        if lines.len() > 1 {
            text.push_str(&table(&lines));
        }
        if !absent.is_empty() {
            let between = if lines.len() > 1 { "\n" } else { "" };
            text.push_str(&format!("{between}absent in both: {}\n", absent.join(", ")));
        }
    }
    text
}

fn line(one: &Compared) -> Vec<String> {
    let unit = one.figure.unit;
    let change = match (one.change_percent, one.figure.value, one.second) {
        (Some(0.0), ..) => "same".to_owned(),
        (Some(change), ..) => format!("{change:+.1} %"),
        (None, Some(_), Some(_)) => "from 0".to_owned(),
        (None, Some(_), None) => "only in the first".to_owned(),
        (None, ..) => "only in the second".to_owned(),
    };
    let mark = if one.regression { "worse" } else { "" };
    let [first, second] = [one.figure.value, one.second].map(|value| markdown::value(value, unit));
    vec![one.figure.words(), first, second, change, mark.to_owned()]
}
