//! Registries that want to be left alone: one memory for all apps that ask the same one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The pause where a registry has enough of us and does not say for how long.
const USUAL: Duration = Duration::from_secs(60);

/// The longest one; who asks for more is asked again after it.
const MOST: Duration = Duration::from_secs(3_600);

/// Until when which registry is not asked. Clones share one memory.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Pauses {
    /// How much longer a registry is not asked.
    #[must_use]
    pub fn left(&self, registry: &str, now: Instant) -> Option<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, until| *until > now);
        all.get(registry).map(|until| until.saturating_duration_since(now))
    }

    /// A registry has enough of us; returns for how long it is left alone.
    pub fn note(&self, registry: &str, pause: Option<Duration>, now: Instant) -> Duration {
        let pause = pause.unwrap_or(USUAL).clamp(Duration::from_secs(1), MOST);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.entry(registry.to_owned()).or_insert(now);
        *until = (*until).max(now + pause);
        until.saturating_duration_since(now)
    }
}

/// What the header `Retry-After` says: seconds, or a date.
#[must_use]
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(secs) = text.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let at = SystemTime::from(date.timestamp());
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_has_enough_is_left_alone_by_everybody_for_as_long_as_it_says() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let secs = Duration::from_secs;
        assert_eq!(pauses.left("a", now), None);
        assert_eq!(pauses.note("a", Some(secs(30)), now), secs(30));
        assert_eq!(pauses.note("a", Some(secs(5)), now), secs(30), "the longer one holds");
        assert_eq!(pauses.clone().left("a", now + secs(10)), Some(secs(20)));
        assert_eq!(pauses.left("b", now), None);
        assert_eq!(pauses.left("a", now + secs(30)), None);
        assert_eq!(pauses.note("a", None, now), USUAL);
        assert_eq!(pauses.note("a", Some(secs(u64::MAX / 2)), now), MOST);
        assert_eq!(pauses.note("b", Some(Duration::ZERO), now), secs(1), "never at once");
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let all = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (text, secs) in all {
            assert_eq!(retry_after(text, now).map(|pause| pause.as_secs()), secs, "{text}");
        }
    }
}
