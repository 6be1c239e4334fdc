//! `flight cat` and `flight tail`: records as lines, for people or as JSON.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use groundcrew_formats::{Row, jsonl};
use groundcrew_recorder::reader::follow::Follower;
use serde_json::Value;

use super::out::{Out, unless_gone};
use super::place::Meant;
use super::progress::Progress;
use super::select::Selection;
use crate::chain;
use crate::cli::args::Filter;
use crate::cli::print::{self, Printer, said};
use crate::exit::{Exit, Refusal};

/// Pause between two looks; short enough for somebody who watches.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Characters of a text that a line for people has.
const TEXT_MAX: usize = 200;

/// Prints records.
pub(super) fn cat(
    meant: &Meant,
    filter: &Filter,
    n: Option<u64>,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let mut selection = Selection::new(filter, &flight)?;
    let progress = Progress::new("reading", if n.is_some() { 0 } else { flight.bytes() });
    let (start_ns, json) = (selection.start_ns, printer.is_json());
    let (mut out, mut failed, mut left) = (Out::stdout(), None, n.unwrap_or(u64::MAX));
    let met = selection.rows(&flight, &progress, |row, _| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        match line(row, start_ns, json, &mut out) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    drop(progress);
    if let Some(error) = failed {
        unless_gone(&error)?;
        return Ok(Exit::Done);
    }
    if !out.finish()? {
        return Ok(Exit::Done);
    }
    selection.end(&met, &flight)
}

/// Writes a record as a line.
fn line(row: &Row<'_>, start_ns: u64, json: bool, to: &mut impl Write) -> io::Result<()> {
    if json {
        return jsonl::write(row, to);
    }
    let since_us = (i128::from(row.head.time_ns) - i128::from(start_ns)).div_euclid(1000);
    let sign = if since_us < 0 { "-" } else { "" };
    let (s, us) = (since_us.unsigned_abs() / 1_000_000, since_us.unsigned_abs() % 1_000_000);
    let time = format!("{sign}{s}.{us:06}");
    let (source, kind) = (said(&row.source(), 0), said(&row.type_name(), 0));
    writeln!(to, "{time:>14}  {source:<12} {kind}{}", members(&row.body_json()))
}

/// A body for people: what is unknown is left out.
fn members(body: &Value) -> String {
    let Some(members) = body.as_object() else { return String::new() };
    let known = members.iter().filter(|(_, value)| !value.is_null());
    let texts = known.map(|(name, value)| {
        let mut text = match value {
            Value::String(text) if !text.contains([' ', '\n', '"', '=']) && !text.is_empty() => {
                text.clone()
            }
            value => value.to_string(),
        };
        if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
            text.truncate(end);
            text.push('…');
        }
        format!(" {}={}", said(name, 0), said(&text, 0))
    });
    texts.collect()
}

/// Prints the last records, and with `follow` those that come.
pub(super) fn tail(
    meant: &Meant,
    filter: &Filter,
    n: usize,
    follow: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let numbers: Vec<u32> = flight.segments().iter().map(|one| one.name.number()).collect();
    let (mut back, mut view);
    let mut some = 1;
    loop {
        let at = numbers.len().saturating_sub(some);
        back = Follower::new(numbers.get(at).copied().unwrap_or(0));
        view = View { selection: Selection::new(filter, &flight)?, json: printer.is_json() };
        let lines = view.last(&mut back, meant, n)?;
        if lines.len() >= n || at == 0 {
            let mut out = Out::stdout();
            for line in lines {
                if let Err(error) = out.write_all(&line) {
                    unless_gone(&error)?;
                    return Ok(Exit::Done);
                }
            }
            if !out.finish()? {
                return Ok(Exit::Done);
            }
            break;
        }
        // There are too few: twice as many segments are looked at.
        some *= 2;
    }
    if follow {
        view.follow(&mut back, meant)?;
    }
    view.selection.end(&Default::default(), &flight)
}

/// How records are shown.
struct View {
    selection: Selection,
    json: bool,
}

impl View {
    /// The last lines that there are.
    fn last(
        &mut self,
        follower: &mut Follower,
        meant: &Meant,
        n: usize,
    ) -> Result<VecDeque<Vec<u8>>, Refusal> {
        let mut lines = VecDeque::new();
        self.poll(follower, meant, |line| {
            lines.push_back(line);
            if lines.len() > n {
                lines.pop_front();
            }
            ControlFlow::Continue(())
        })?;
        Ok(lines)
    }

    /// Gives all lines that have arrived; a segment that cannot be read is named and passed over.
    fn poll(
        &mut self,
        follower: &mut Follower,
        meant: &Meant,
        mut each: impl FnMut(Vec<u8>) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let (start_ns, json) = (self.selection.start_ns, self.json);
        let mut give = |row: &Row<'_>, _: &_| {
            let mut text = Vec::new();
            line(row, start_ns, json, &mut text).map_or(ControlFlow::Continue(()), |()| each(text))
        };
        let mut told: Option<String> = None;
        loop {
            let polled = follower.poll(&meant.medium, |header, record| {
                self.selection.begin(header);
                self.selection.give(record, &mut give)
            });
            let Err(unreadable) = polled else { return Ok(()) };
            let text = chain(&unreadable);
            // A segment is named once; what fails twice is the directory itself.
            if told.as_ref() == Some(&text) {
                return Err(Refusal::failed(text));
            }
            print::talk(&format!("groundcrew: {text}"));
            told = Some(text);
        }
    }

    /// Prints what comes until the flight ends, nobody reads or a signal arrives. A recording whose
    /// recorder has it still goes on behind its footer: the standing one, after a flight.
    fn follow(&mut self, follower: &mut Follower, meant: &Meant) -> Result<(), Refusal> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Without the handler the signal ends this process, which is as good.
            drop(signal_hook::flag::register(signal, Arc::clone(&ended)));
        }
        while !ended.load(Ordering::SeqCst) && print::is_read() {
            // Asked before the last look, so that this sees all that was written.
            let over = follower.has_ended() && !meant.is_written();
            let (mut out, mut failed) = (Out::stdout(), None);
            self.poll(follower, meant, |line| match out.write_all(&line) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            if let Some(error) = failed {
                return unless_gone(&error);
            }
            if !out.finish()? {
                return Ok(());
            }
            if over && follower.has_ended() {
                break;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }
}
