//! The only place that prints: data to standard output, talk to standard error.
//!
//! Whoever reads the data may stop reading; that is no error. A disk that takes no more is one.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::exit::Exit;

/// Version of every `--json` shape (docs/reference/cli-json.md).
const SCHEMA: u32 = 1;

/// Prints data as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
}

/// A shape with its version in front.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    data: &'a T,
}

impl Printer {
    /// As the command line asks.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// JSON is asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints one thing in the form that is asked for.
    pub(crate) fn show<T: Serialize>(self, data: &T, text: impl FnOnce() -> String) {
        if self.json {
            let whole = serde_json::to_string_pretty(&Versioned { schema: SCHEMA, data });
            self::data(&format!("{}\n", whole.unwrap_or_default()));
        } else {
            self::data(&text());
        }
    }
}

/// Prints data. A reader that went away ends the output, not the command.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            UNSAID.store(true, Ordering::Relaxed);
            talk(&format!("groundcrew: cannot write to standard output: {error}"));
        }
    }
}

/// Whether some data could not be printed although somebody may want it: a full disk took it.
static UNSAID: AtomicBool = AtomicBool::new(false);

/// What a command ends with: it is not done while what it found out was not said.
pub(crate) fn ended(exit: Exit) -> Exit {
    let unsaid = UNSAID.load(Ordering::Relaxed);
    if exit == Exit::Done && unsaid { Exit::Failed } else { exit }
}

/// Prints bytes as they are; false: the reader went away.
pub(crate) fn raw(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Whether somebody still reads standard output, where that can be told.
pub(crate) fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = std::io::stdout();
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A failed look tells nothing.
    poll(&mut fds, Some(&now)).is_err()
        || !fds.iter().any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Says something to the person.
pub(crate) fn talk(text: &str) {
    // Nobody is left to be told when standard error is gone.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// What somebody else said (an app, a check, a person), on a terminal: lines after the first are
/// indented by so many spaces, and nothing in it moves the cursor or changes colors.
pub(crate) fn said(text: &str, indent: usize) -> String {
    let clean =
        |char: char| if char.is_control() && !"\n\t".contains(char) { '\u{fffd}' } else { char };
    let text: String = text.trim_end().chars().map(clean).collect();
    text.replace('\n', &format!("\n{:indent$}", ""))
}

/// A moment for people, in UTC, to the second.
pub(crate) fn when(wall_ms: i64) -> String {
    jiff::Timestamp::from_second(wall_ms.div_euclid(1_000))
        .map_or_else(|_| format!("{wall_ms} ms"), |time| time.to_string())
}

/// The first letters of a digest.
pub(crate) fn short(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_said_stays_below_its_place_and_moves_no_cursor() {
        for (text, wanted) in [
            ("one line", "one line"),
            ("a\nb\n\nc\n", "a\n   b\n   \n   c"),
            ("\u{1b}[2Jgone\r\x07", "\u{fffd}[2Jgone\u{fffd}\u{fffd}"),
            ("tab\tstays", "tab\tstays"),
        ] {
            assert_eq!(said(text, 3), wanted);
        }
    }
}
