//! What a person should look at after a flight, and how soon.

use super::figures::{Figure, Unit};

/// How soon a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The same day.
    Critical,
    /// The next day.
    High,
    /// Within a week.
    Medium,
}

impl Urgency {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
        }
    }
}

/// A limit that a figure should not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// How soon a person should look if it does.
    pub urgency: Urgency,
    /// The figure's name.
    pub figure: &'static str,
    /// The greatest value that is still well.
    pub limit: f64,
}

/// The limits of the specification (FLT-3). Of frames without a match it only says "high"; that
/// is more than half of them.
pub const LIMITS: [Limit; 9] = {
    use Urgency::{Critical, High, Medium};
    const fn limit(urgency: Urgency, figure: &'static str, limit: f64) -> Limit {
        Limit { urgency, figure, limit }
    }
    [
        limit(Critical, "segments_dropped", 0.0),
        limit(Critical, "component_failures", 0.0),
        limit(Critical, "spoofing_promotion_latency_max_ms", 3000.0),
        limit(Critical, "error_over_1_km_percent", 0.01),
        limit(High, "cold_start_p95_s", 30.0),
        limit(High, "thermal_hybrid_percent", 25.0),
        limit(Medium, "tile_failures_percent", 5.0),
        limit(Medium, "no_match_percent", 50.0),
        limit(Medium, "dead_reckoned_longest_s", 10.0),
    ]
};

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How soon.
    pub urgency: Urgency,
    /// Which figure, or `clean_shutdown`.
    pub figure: String,
    /// What the figure counts.
    pub unit: Unit,
    /// What it is; `None` where it is no number.
    pub value: Option<f64>,
    /// What it should not exceed; `None` where it is no number.
    pub limit: Option<f64>,
}

/// The figures that exceed their limits, the most urgent first; what is absent exceeds nothing.
pub(super) fn findings(figures: &[Figure], clean: bool, limits: &[Limit]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !clean {
        findings.push(Finding {
            urgency: Urgency::Critical,
            figure: "clean_shutdown".to_owned(),
            unit: Unit::Count,
            value: None,
            limit: None,
        });
    }
    for Limit { urgency, figure, limit } in limits {
        let Some(found) = figures.iter().find(|one| one.name == *figure) else { continue };
        if found.value.is_some_and(|value| value > *limit) {
            findings.push(Finding {
                urgency: *urgency,
                figure: found.name.clone(),
                unit: found.unit,
                value: found.value,
                limit: Some(*limit),
            });
        }
    }
    findings.sort_by_key(|finding| finding.urgency);
    findings
}
