//! What an app's container says, as the engine keeps it: its last lines, and what comes after them.
//!
//! The engine is asked now and then for what is younger than what was heard last, so whoever listens goes
//! on over restarts of the container and over its exchange for another one.
//!
//! A line that an engine splits, because it is longer than 16 KiB, comes in parts that are put together
//! again. A log driver that cannot be read is the engine's to explain.

use groundcrew_engine::noun::Fault;
use jiff::{SignedDuration, Timestamp};

use super::DockerRuntime;
use super::api::quoted;
use super::error::Error;
use super::look::{self, Container, frames};
use super::template::text;

/// Something that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Output, as the app wrote it.
    Output(Vec<u8>),
    /// What follows is of another container.
    Another {
        /// Its image, as the engine calls it.
        image: String,
    },
}

/// Hears one app's container.
#[derive(Clone, Debug)]
pub struct Listener {
    runtime: DockerRuntime,
    /// Whose output was heard last.
    container: Option<Container>,
    /// When the last of it was written.
    until: Option<Timestamp>,
}

impl Listener {
    /// The last lines of the container that was started last, and what hears those that follow.
    ///
    /// # Errors
    /// The engine does not answer, or keeps no output that can be read.
    pub fn begin(runtime: DockerRuntime, lines: usize) -> Result<(Vec<u8>, Self), Fault> {
        let mut listener = Self { runtime, container: None, until: None };
        let Some(one) = listener.runtime.started_last()? else {
            return Ok((Vec::new(), listener));
        };
        listener.container = Some(one.clone());
        let last = listener.hear(&one, &format!("tail={lines}"))?;
        if listener.until.is_none() {
            // With no line asked for, the latest one says where to go on.
            listener.hear(&one, "tail=1")?;
        }
        Ok((last, listener))
    }

    /// What came since; empty: nothing yet.
    ///
    /// # Errors
    /// The engine does not answer, or refuses.
    pub fn more(&mut self) -> Result<Vec<Heard>, Fault> {
        let mut heard = Vec::new();
        let Some(one) = self.runtime.started_last()? else { return Ok(heard) };
        if self.container.as_ref().map(Container::id) != Some(one.id())
            && let Some(before) = self.container.replace(one.clone())
        {
            // Its last words; one that is gone has none any more.
            let last = self.hear(&before, &self.since()).unwrap_or_default();
            heard.extend((!last.is_empty()).then_some(Heard::Output(last)));
            heard.push(Heard::Another { image: text(&one.shown, "/Config/Image") });
        }
        let output = self.hear(&one, &self.since())?;
        heard.extend((!output.is_empty()).then_some(Heard::Output(output)));
        Ok(heard)
    }

    fn since(&self) -> String {
        match self.until.and_then(|until| until.checked_add(NEXT).ok()) {
            Some(at) => format!("since={}.{:09}", at.as_second(), at.subsec_nanosecond()),
            None => "tail=all".to_owned(),
        }
    }

    fn hear(&mut self, one: &Container, which: &str) -> Result<Vec<u8>, Error> {
        let path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps=1&{which}",
            quoted(&one.id())
        );
        let bytes = self.runtime.api.read(&path)?;
        let terminal = one.shown.pointer("/Config/Tty") == Some(&true.into());
        let entries: Vec<&[u8]> = if terminal {
            bytes.split_inclusive(|byte| *byte == b'\n').collect()
        } else {
            frames(&bytes).collect()
        };
        let mut output = Vec::new();
        for entry in entries {
            let (at, said) = stamped(entry);
            self.until = at.or(self.until);
            output.extend_from_slice(said);
        }
        Ok(output)
    }
}

/// The engine's times are as fine as this, and each entry has its own.
const NEXT: SignedDuration = SignedDuration::from_nanos(1);

/// When it was written, and what.
fn stamped(entry: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let place = entry.iter().position(|byte| *byte == b' ');
    let Some((stamp, said)) = place.and_then(|place| entry.split_at_checked(place)) else {
        return (None, entry);
    };
    let at = std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse().ok());
    match at {
        Some(at) => (Some(at), said.get(1..).unwrap_or_default()),
        None => (None, entry),
    }
}

impl DockerRuntime {
    /// The container that was started last.
    fn started_last(&self) -> Result<Option<Container>, Error> {
        let (all, record) = (self.look()?, self.record()?);
        Ok(look::latest(&all, &record).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_moment_and_a_text_that_is_passed_on_as_it_is() {
        let at: Timestamp = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
        let cases: [(&[u8], Option<Timestamp>, &[u8]); 5] = [
            (b"2026-01-02T03:04:05.000000006Z up\n", Some(at), b"up\n"),
            (b"2026-01-02T03:04:05.000000006Z \n", Some(at), b"\n"),
            (b"2026-01-02T03:04:05.000000006Z a  b \xff", Some(at), b"a  b \xff"),
            (b"no moment\n", None, b"no moment\n"),
            (b"", None, b""),
        ];
        for (entry, moment, said) in cases {
            assert_eq!(stamped(entry), (moment, said), "{}", String::from_utf8_lossy(entry));
        }
    }
}
