//! The figures of a flight: a flat list in a fixed order, so that two flights can be laid side by
//! side.

/// Which way a figure becomes worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// More is worse.
    More,
    /// Less is worse.
    Less,
    /// It says what there was, and not how good it was.
    Neither,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Parts of a hundred.
    Percent,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Meters.
    Meters,
    /// Degrees Celsius.
    Celsius,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// What a figure's name ends with.
    fn ending(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Percent => "_percent",
            Self::Seconds => "_s",
            Self::Milliseconds => "_ms",
            Self::Meters => "_m",
            Self::Celsius => "_c",
            Self::Bytes => "_bytes",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is about, for people: the heading of its table.
    pub group: &'static str,
    /// Its name, with the unit as ending where there is one.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// Which way it becomes worse.
    pub worse: Worse,
    /// Its value; `None`: the flight does not say.
    pub value: Option<f64>,
}

impl Figure {
    /// Its name for people: without the unit, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let name = self.name.strip_suffix(self.unit.ending()).unwrap_or(&self.name);
        name.replace('_', " ")
    }
}

/// Collects figures in order.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) list: Vec<Figure>,
    group: &'static str,
}

impl Figures {
    pub(super) fn group(&mut self, group: &'static str) -> &mut Self {
        self.group = group;
        self
    }

    pub(super) fn put(
        &mut self,
        stem: &str,
        unit: Unit,
        worse: Worse,
        value: Option<f64>,
    ) -> &mut Self {
        let name = format!("{stem}{}", unit.ending());
        self.list.push(Figure { group: self.group, name, unit, worse, value });
        self
    }

    pub(super) fn count(&mut self, stem: &str, worse: Worse, count: Option<u64>) -> &mut Self {
        self.put(stem, Unit::Count, worse, count.map(super::float))
    }
}

/// From this change for the worse on, a figure is a regression, percent.
pub const REGRESSION_PERCENT: f64 = 10.0;

/// A figure of two flights.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The figure, with the value in the first flight.
    pub figure: Figure,
    /// The value in the second.
    pub second: Option<f64>,
    /// The change from the first to the second, percent of the first; `None`: one is absent, or
    /// the first is 0 and the second is not.
    pub change_percent: Option<f64>,
    /// Whether it became worse by more than [`REGRESSION_PERCENT`], or from 0 on at all.
    pub regression: bool,
}

/// Lays the figures of two flights side by side.
#[must_use]
pub fn compare(first: &[Figure], second: &[Figure]) -> Vec<Compared> {
    let value = |figure: &Figure| {
        second.iter().find(|one| one.name == figure.name).and_then(|one| one.value)
    };
    first.iter().map(|figure| one(figure, value(figure))).collect()
}

fn one(figure: &Figure, second: Option<f64>) -> Compared {
    let difference = figure.value.zip(second).map(|(first, second)| second - first);
    let change_percent = figure.value.zip(difference).and_then(|(first, difference)| {
        let change = if difference == 0.0 { 0.0 } else { difference / first.abs() * 100.0 };
        change.is_finite().then_some(change)
    });
    let worse_by = |difference: f64| match figure.worse {
        Worse::More => difference > 0.0,
        Worse::Less => difference < 0.0,
        Worse::Neither => false,
    };
    let large = change_percent.is_none_or(|change| change.abs() > REGRESSION_PERCENT);
    let regression = difference.is_some_and(worse_by) && large;
    Compared { figure: figure.clone(), second, change_percent, regression }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_6_a_change_for_the_worse_over_a_tenth_is_a_regression() {
        use Worse::{Less, More, Neither};
        for (worse, first, second, change, regression) in [
            (More, Some(10.0), Some(11.0), Some(10.0), false),
            (More, Some(10.0), Some(11.1), Some(11.0), true),
            (More, Some(10.0), Some(5.0), Some(-50.0), false),
            (Less, Some(10.0), Some(5.0), Some(-50.0), true),
            (Less, Some(10.0), Some(20.0), Some(100.0), false),
            (Less, Some(-10.0), Some(-20.0), Some(-100.0), true),
            (Neither, Some(10.0), Some(20.0), Some(100.0), false),
            (More, Some(0.0), Some(0.0), Some(0.0), false),
            (More, Some(0.0), Some(1.0), None, true),
            (Less, Some(0.0), Some(1.0), None, false),
            (More, None, Some(1.0), None, false),
            (More, Some(1.0), None, None, false),
            (More, None, None, None, false),
        ] {
            let mut figures = Figures::default();
            figures.group("Flight").put("age", Unit::Seconds, worse, first);
            let mut others = Figures::default();
            others.group("Flight").put("age", Unit::Seconds, worse, second);
            let compared = compare(&figures.list, &others.list).remove(0);
            assert_eq!(compared.change_percent.map(f64::round), change, "{compared:?}");
            assert_eq!(compared.regression, regression, "{compared:?}");
            assert_eq!((compared.figure.name.as_str(), compared.second), ("age_s", second));
            assert_eq!(compared.figure.words(), "age");
        }
    }
}
