//! The clock: wall time for people and windows, time since boot for everything that is measured.
//!
//! Whether the wall clock is right is asked of whoever keeps it, at most once a minute: the mark of
//! `systemd-timesyncd`, else `timedatectl`, which knows of every service that disciplines the
//! kernel's clock. Nobody who knows means "not synchronized": windows then wait, and a person may
//! say in the configuration that the clock is right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use groundcrew_engine::noun::{BootId, Now};
use groundcrew_engine::ports::{Clock, Woken};
use rustix::time::{ClockId, clock_gettime};

use crate::causes::causes;
use crate::command::{self, End, Order};
use crate::keeper;

/// 2020 in milliseconds since 1970: a clock that shows less was never set, whoever says otherwise.
const OLDEST_MS: i64 = 1_577_836_800_000;

/// How long an answer about the clock is believed, in milliseconds since boot.
const BELIEVED_MS: u64 = 60_000;

/// Limit of asking.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the wall clock is taken for right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synchronized {
    /// Whoever keeps it is asked.
    Ask(Keepers),
    /// A person said so.
    Always,
}

/// Who knows whether the clock is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepers {
    /// It is right while this file exists.
    pub mark: PathBuf,
    /// It is right if this says `yes`.
    pub command: Vec<String>,
}

impl Default for Keepers {
    fn default() -> Self {
        let command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"];
        Self {
            mark: "/run/systemd/timesync/synchronized".into(),
            command: command.map(str::to_owned).to_vec(),
        }
    }
}

/// The host's clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot: BootId,
    synchronized: Synchronized,
    asked: Option<(u64, bool)>,
}

impl SystemClock {
    /// The clock of this boot.
    ///
    /// # Errors
    /// The kernel does not say which boot this is.
    pub fn new(synchronized: Synchronized) -> Result<Self, String> {
        let boot = keeper::this_boot().map_err(|error| causes(&error))?;
        Ok(Self { boot: BootId(boot), synchronized, asked: None })
    }

    fn is_synchronized(&mut self, wall_ms: i64, uptime_ms: u64) -> bool {
        if wall_ms < OLDEST_MS {
            return false;
        }
        let Synchronized::Ask(keepers) = &self.synchronized else { return true };
        match self.asked {
            Some((at_ms, known)) if uptime_ms.saturating_sub(at_ms) < BELIEVED_MS => known,
            _ => {
                let known = keepers.mark.exists() || says_yes(&keepers.command);
                self.asked = Some((uptime_ms, known));
                known
            }
        }
    }
}

fn says_yes(argv: &[String]) -> bool {
    let env: BTreeMap<String, String> = command::base_env();
    let order = Order {
        argv,
        cwd: Path::new("/"),
        env: &env,
        input: b"",
        user: None,
        timeout: ASK_TIMEOUT,
    };
    command::run(&order)
        .is_ok_and(|report| report.end == End::Code(0) && report.output.trim() == "yes")
}

/// Milliseconds since boot, with the time the machine slept.
fn uptime_ms() -> u64 {
    let at = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(at.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

/// Milliseconds since 1970; negative before.
fn wall_ms() -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    }
}

impl Clock for SystemClock {
    fn now(&mut self) -> Now {
        let (wall_ms, uptime_ms) = (wall_ms(), uptime_ms());
        let synchronized = self.is_synchronized(wall_ms, uptime_ms);
        Now { wall_ms, uptime_ms, boot: self.boot.clone(), synchronized }
    }

    /// To its end; whoever wants to end waits early puts a bell in front of this clock.
    fn wait(&mut self, at_most: Duration) -> Woken {
        std::thread::sleep(at_most);
        Woken::Time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(mark: &Path, command: &[&str]) -> SystemClock {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let keepers = Keepers { mark: mark.into(), command };
        SystemClock::new(Synchronized::Ask(keepers)).unwrap()
    }

    #[test]
    fn a_clock_is_right_only_if_somebody_who_knows_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("synchronized");
        let now_ms = OLDEST_MS + 1;
        let table: [(&[&str], bool); 5] = [
            (&["echo", "yes"], true),
            (&["echo", "no"], false),
            (&["sh", "-c", "echo yes; exit 1"], false),
            (&["/no/such/program"], false),
            (&["sleep", "1000"], false),
        ];
        for (command, expected) in table {
            assert_eq!(clock(&mark, command).is_synchronized(now_ms, 0), expected, "{command:?}");
        }
        std::fs::File::create(&mark).unwrap();
        assert!(clock(&mark, &["echo", "no"]).is_synchronized(now_ms, 0));
        assert!(!clock(&mark, &["echo", "yes"]).is_synchronized(OLDEST_MS - 1, 0), "never set");
        let mut told = SystemClock::new(Synchronized::Always).unwrap();
        assert!(told.is_synchronized(now_ms, 0) && !told.is_synchronized(0, 0));
    }

    #[test]
    fn an_answer_is_believed_for_a_while_and_then_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("synchronized");
        let mut clock = clock(&mark, &["echo", "no"]);
        assert!(!clock.is_synchronized(OLDEST_MS, 5));
        std::fs::File::create(&mark).unwrap();
        assert!(!clock.is_synchronized(OLDEST_MS, 5 + BELIEVED_MS - 1));
        assert!(clock.is_synchronized(OLDEST_MS, 5 + BELIEVED_MS));
    }

    #[test]
    fn time_passes_in_one_boot() {
        let mut clock = SystemClock::new(Synchronized::Always).unwrap();
        let before = clock.now();
        assert_eq!(clock.wait(Duration::from_millis(2)), Woken::Time);
        let after = clock.now();
        assert!(after.uptime_ms >= before.uptime_ms + 2);
        assert!(after.wall_ms > OLDEST_MS);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!(after.boot.as_str(), boot.trim());
        assert_eq!(before.boot, after.boot);
    }
}
