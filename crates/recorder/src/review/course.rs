//! In which of a few states something was, and for how long.

use super::LIST_MAX;

/// A time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay<T> {
    /// The state.
    pub state: T,
    /// When it began, nanoseconds.
    pub from_ns: u64,
    /// When it ended, nanoseconds.
    pub to_ns: u64,
}

impl<T> Stay<T> {
    /// How long it lasted, nanoseconds.
    #[must_use]
    pub fn ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }
}

/// A course through states, from the moment where the first is known.
#[derive(Debug, Clone)]
pub(super) struct Course<T> {
    now: Option<(T, u64)>,
    /// Time in each state, nanoseconds.
    times: Vec<(T, u64)>,
    /// The longest stay in each.
    longest: Vec<(T, u64)>,
    /// The first of them.
    pub(super) stays: Vec<Stay<T>>,
    pub(super) changes: u64,
}

impl<T> Default for Course<T> {
    fn default() -> Self {
        let (times, longest, stays) = (Vec::new(), Vec::new(), Vec::new());
        Self { now: None, times, longest, stays, changes: 0 }
    }
}

impl<T: Copy + Eq> Course<T> {
    /// Whether any state is known.
    pub(super) fn is_known(&self) -> bool {
        self.now.is_some()
    }

    /// It is in this state at that time; what comes late, about a time before, says nothing new.
    pub(super) fn at(&mut self, time_ns: u64, state: T) {
        match self.now {
            None => self.now = Some((state, time_ns)),
            Some((now, since)) if now != state && time_ns >= since => {
                self.close(time_ns);
                self.changes += 1;
                self.now = Some((state, time_ns));
            }
            Some(_) => {}
        }
    }

    /// That was all.
    pub(super) fn end(&mut self, time_ns: u64) {
        self.close(time_ns);
    }

    fn close(&mut self, to_ns: u64) {
        let Some((state, from_ns)) = self.now else { return };
        let stay = Stay { state, from_ns, to_ns: to_ns.max(from_ns) };
        let time = of(&mut self.times, state);
        *time = time.saturating_add(stay.ns());
        let longest = of(&mut self.longest, state);
        *longest = stay.ns().max(*longest);
        if self.stays.len() < LIST_MAX {
            self.stays.push(stay);
        }
    }

    /// Which part of the known time it was in one of these states, percent.
    pub(super) fn percent(&self, is_one: impl Fn(T) -> bool) -> Option<f64> {
        let sum = |all: &mut dyn Iterator<Item = &(T, u64)>| {
            all.fold(0_u64, |sum, (_, time)| sum.saturating_add(*time))
        };
        let all = sum(&mut self.times.iter());
        let some = sum(&mut self.times.iter().filter(|(state, _)| is_one(*state)));
        (all > 0).then(|| super::ratio(some, all) * 100.0)
    }

    /// The longest stay in a state, nanoseconds; 0: it never was.
    pub(super) fn longest_ns(&self, state: T) -> u64 {
        self.longest.iter().find(|(one, _)| *one == state).map_or(0, |(_, longest)| *longest)
    }
}

fn of<T: Copy + Eq>(list: &mut Vec<(T, u64)>, state: T) -> &mut u64 {
    let at = list.iter().position(|(one, _)| *one == state).unwrap_or_else(|| {
        list.push((state, 0));
        list.len() - 1
    });
    &mut list.get_mut(at).expect("it was found or made").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_from_the_first_known_state_to_the_end() {
        let mut course = Course::default();
        assert_eq!(course.percent(|_| true), None);
        for (time, state) in [(10, 'a'), (20, 'a'), (30, 'b'), (29, 'a'), (40, 'a'), (100, 'c')] {
            course.at(time, state);
        }
        course.end(110);
        assert_eq!(course.percent(|state| state == 'a'), Some(80.0));
        assert_eq!(course.percent(|state| state != 'a'), Some(20.0));
        assert_eq!(course.percent(|state| state == 'z'), Some(0.0));
        assert_eq!((course.longest_ns('a'), course.longest_ns('z')), (60, 0));
        assert_eq!((course.changes, course.stays.len()), (3, 4));
        assert_eq!(course.stays[1], Stay { state: 'b', from_ns: 30, to_ns: 40 });
    }
}
