//! When a flight begins and ends, by the busy flag alone (REC-16).
//!
//! A flag that is written anew is empty for a moment, so that only one that stays clear ends a
//! flight. Nothing is decided by whether the agent lives.

/// A flight is over when the flag was clear for so long.
const CLEAR_NS: u64 = 1_000_000_000;
/// Between two tries to begin a flight, or to end one.
const RETRY_NS: u64 = 1_000_000_000;
/// Between two lines about the same trouble.
const REPEAT_NS: u64 = 60_000_000_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Stay,
    /// Begin a flight.
    Begin,
    /// End the flight.
    End,
}

/// Where the recording is.
#[derive(Debug, Default)]
pub(super) struct Course {
    flying: bool,
    clear_since_ns: Option<u64>,
    not_before_ns: u64,
    /// What could not be done, and when that was told last.
    told: Option<(Turn, u64)>,
}

impl Course {
    /// What is to be done now that the flag was seen so.
    pub(super) fn turn(&mut self, busy: bool, now_ns: u64) -> Turn {
        let clear_since_ns = *self.clear_since_ns.get_or_insert(now_ns);
        if busy {
            self.clear_since_ns = None;
        }
        let clear = !busy && now_ns.saturating_sub(clear_since_ns) >= CLEAR_NS;
        match (self.flying, now_ns >= self.not_before_ns) {
            (_, false) => Turn::Stay,
            (false, true) if busy => Turn::Begin,
            (true, true) if clear => Turn::End,
            _ => Turn::Stay,
        }
    }

    /// It was done.
    pub(super) fn done(&mut self, turn: Turn) {
        self.flying = match turn {
            Turn::Stay => self.flying,
            Turn::Begin => true,
            Turn::End => false,
        };
        self.told = None;
    }

    /// It could not be done, and is tried again later; whether that is worth a word. What a disk
    /// says differs with each try, for each has another flight's name in it.
    pub(super) fn failed(&mut self, turn: Turn, now_ns: u64) -> bool {
        self.not_before_ns = now_ns.saturating_add(RETRY_NS);
        let is_news = |(of, at): (Turn, u64)| of != turn || now_ns.saturating_sub(at) >= REPEAT_NS;
        let is_news = self.told.is_none_or(is_news);
        if is_news {
            self.told = Some((turn, now_ns));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of looks at `(milliseconds, busy)`, each turn done.
    fn turns(looks: &[(u64, bool)]) -> Vec<(u64, Turn)> {
        let mut course = Course::default();
        let mut turns = Vec::new();
        for (ms, busy) in looks {
            let turn = course.turn(*busy, ms * 1_000_000);
            course.done(turn);
            if turn != Turn::Stay {
                turns.push((*ms, turn));
            }
        }
        turns
    }

    #[test]
    fn rec_16_a_flight_lasts_from_the_flag_to_a_second_without_it() {
        let looks = [(0, false), (100, true), (200, true), (900, false), (1800, false)];
        assert_eq!(turns(&looks), [(100, Turn::Begin)]);
        let looks = [&looks[..], &[(1900, false), (2000, false), (2100, true)]].concat();
        let all = [(100, Turn::Begin), (1900, Turn::End), (2100, Turn::Begin)];
        assert_eq!(turns(&looks), all);
    }

    #[test]
    fn rec_16_a_flag_that_is_written_anew_ends_no_flight() {
        let looks: Vec<(u64, bool)> = (0..200).map(|at| (at * 100, at % 9 != 3)).collect();
        assert_eq!(turns(&looks), [(0, Turn::Begin)]);
    }

    #[test]
    fn rec_8_what_failed_is_tried_again_a_second_later() {
        let mut course = Course::default();
        assert_eq!(course.turn(true, 0), Turn::Begin);
        assert!(course.failed(Turn::Begin, 0), "it is told");
        assert_eq!(course.turn(true, CLEAR_NS - 1), Turn::Stay);
        assert_eq!(course.turn(true, RETRY_NS), Turn::Begin);
        course.done(Turn::Begin);
        assert_eq!(course.turn(false, RETRY_NS + 1), Turn::Stay);
        assert_eq!(course.turn(false, 3 * RETRY_NS), Turn::End);
        assert!(course.failed(Turn::End, 3 * RETRY_NS));
        assert_eq!(course.turn(true, 4 * RETRY_NS), Turn::Stay, "it goes on, and never ended");
    }

    #[test]
    fn what_fails_each_second_is_told_once_a_minute() {
        let mut course = Course::default();
        let told = |course: &mut Course, from: u64| -> Vec<u64> {
            let tries = from..from + 180;
            tries.filter(|at| course.failed(Turn::Begin, at * RETRY_NS)).collect()
        };
        assert_eq!(told(&mut course, 0), [0, 60, 120]);
        assert!(course.failed(Turn::End, 180 * RETRY_NS), "that is something else");
        course.done(Turn::Begin);
        assert_eq!(told(&mut course, 181), [181, 241, 301]);
    }
}
