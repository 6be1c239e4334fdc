//! Figures of updates, each beside a peer or a physical limit in the same run.
//!
//! Nothing here fails because a figure is missed; a peer that is not installed is left out.

mod downtime;
mod many;
mod peers;
mod recorder;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::Result;

/// What the machine can do at best, where a figure is compared with that.
const LIMIT: &str = "bare loop";

/// One figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// What.
    pub name: String,
    /// Ours.
    pub ours: f64,
    /// In which unit.
    pub unit: &'static str,
    /// The same of others.
    pub beside: BTreeMap<String, f64>,
    /// What is aimed at.
    pub target: Option<Target>,
}

/// What a figure is aimed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at least so many times the one that it is compared with.
    Ratio(f64),
}

impl Figure {
    fn new(name: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self { name: name.into(), ours, unit, ..Self::default() }
    }

    fn at_most(self, target: f64) -> Self {
        Self { target: Some(Target::AtMost(target)), ..self }
    }

    /// More is better, and it is compared with the first of the others.
    fn ratio_at_least(self, target: f64) -> Self {
        Self { target: Some(Target::Ratio(target)), ..self }
    }

    fn beside(mut self, peer: &str, value: f64) -> Self {
        self.beside.insert(peer.to_owned(), value);
        self
    }

    /// Ours by the best of the others; where more is better, by what it is compared with.
    fn ratio(&self) -> Option<f64> {
        let limit = self.beside.get(LIMIT).copied();
        let best = limit.or_else(|| self.beside.values().copied().min_by(f64::total_cmp))?;
        (best > 0.0).then(|| self.ours / best)
    }

    fn is_ok(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(target) => self.ours <= target,
            Target::Ratio(target) => self.ratio()? >= target,
        })
    }

    fn target_text(&self) -> Option<String> {
        Some(match self.target? {
            Target::AtMost(target) => format!("≤ {target} {}", self.unit),
            Target::Ratio(target) => format!("≥ {target} × {LIMIT}"),
        })
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.name,
            "ours": rounded(self.ours),
            "unit": self.unit,
            "beside": self.beside.iter().map(|(name, at)| (name.clone(), rounded(*at).into()))
                .collect::<serde_json::Map<String, Value>>(),
            "ratio": self.ratio().map(rounded),
            "target": self.target_text(),
            "ok": self.is_ok(),
        })
    }
}

/// To a thousandth: more digits would pretend to be more.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// What is to be measured with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program under test.
    pub program: PathBuf,
    /// Fewer rounds and apps.
    pub quick: bool,
    /// Only this part, as the usage names them.
    pub only: Option<String>,
    /// Where the hosts lie.
    pub dir: PathBuf,
}

pub use recorder::push_and_end;

/// All figures of `bench recorder`.
///
/// # Errors
/// The rig itself failed.
pub fn recorder(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Vec<Figure>> {
    recorder::figures(options, say)
}

/// All figures of `bench update`.
///
/// # Errors
/// The rig itself failed.
pub fn update(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    type Part = fn(&Options) -> Result<Vec<Figure>>;
    let parts: [(&str, Part); 3] =
        [("downtime", downtime::figures), ("many", many::many), ("idle", many::idle)];
    for (name, measure) in parts {
        if options.only.as_deref().is_none_or(|only| only == name) {
            say(&format!("{name} …"));
            figures.extend(measure(options)?);
        }
    }
    figures.push(binary(&options.program)?);
    Ok(figures)
}

fn binary(program: &Path) -> Result<Figure> {
    let size = std::fs::metadata(program).context("cannot look at the program")?.len();
    let optimized = program.components().any(|part| part.as_os_str() == "release");
    let name = if optimized { "size of the binary" } else { "size of the unoptimized binary" };
    let figure = Figure::new(name, megabytes(size), "MB");
    Ok(if optimized { figure.at_most(30.0) } else { figure })
}

fn megabytes(bytes: u64) -> f64 {
    let kilobytes = u32::try_from(bytes / 1_000).unwrap_or(u32::MAX);
    f64::from(kilobytes) / 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// An array for machines.
#[must_use]
pub fn json(figures: &[Figure]) -> Value {
    figures.iter().map(Figure::json).collect()
}

/// A table for people.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| figure | ours | beside | ratio | target | ok |\n|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let beside: Vec<String> =
            figure.beside.iter().map(|(name, at)| format!("{name} {at:.1}")).collect();
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        // Writing to a text does not fail.
        writeln!(
            text,
            "| {} | {:.2} {} | {} | {} | {} | {} |",
            figure.name,
            figure.ours,
            figure.unit,
            if beside.is_empty() { "–".into() } else { beside.join(", ") },
            or_dash(figure.ratio().map(|ratio| format!("{ratio:.2}"))),
            or_dash(figure.target_text()),
            or_dash(figure.is_ok().map(|ok| if ok { "yes" } else { "no" }.to_owned())),
        )
        .ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_compared_with_the_best_of_the_others_and_its_target() {
        let figure =
            Figure::new("x", 30.0, "ms").at_most(50.0).beside("slow", 60.0).beside("fast", 20.0);
        let json = figure.json();
        assert_eq!((&json["ratio"], &json["ok"]), (&1.5.into(), &true.into()));
        assert!(table(&[figure]).contains("| x | 30.00 ms | fast 20.0, slow 60.0 | 1.50 |"));
        let alone = Figure::new("y", 60.0, "ms").at_most(50.0);
        assert_eq!((alone.ratio(), alone.is_ok()), (None, Some(false)));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
