//! `logs`: the end of an app's output, and what follows it.
//!
//! The files of its runs are read, or its engine is asked, so neither an agent nor its lock is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use groundcrew_drivers::keeper::tail::{News, Tail};
use groundcrew_drivers::runtimes::docker::{Heard, Listener};
use serde::Serialize;

use super::print::{self, Printer};
use crate::chain;
use crate::config::Settings;
use crate::crew;
use crate::exit::{Exit, Refusal};

/// Pause between two looks; short enough for somebody who watches.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The same for an engine, which others ask too.
const ASK_PAUSE: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Logs {
    app: String,
    lines: Vec<String>,
}

/// Prints the last lines; `follow`: and those that come.
pub(super) fn run(
    settings: &Settings,
    app: &str,
    n: usize,
    follow: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let (last, mut spring) = Spring::begin(crew::output_of(settings, app)?, n)?;
    if !follow {
        if last.is_empty() && n > 0 {
            print::talk(&format!("groundcrew: {app} has said nothing yet"));
        }
        let text = String::from_utf8_lossy(&last);
        let logs = Logs { app: app.to_owned(), lines: text.lines().map(str::to_owned).collect() };
        printer.show(&logs, || logs.lines.iter().map(|line| format!("{line}\n")).collect());
        return Ok(Exit::Done);
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without the handler the signal ends this process, which is as good.
        drop(signal_hook::flag::register(signal, Arc::clone(&ended)));
    }
    let mut out = Out { app, json: printer.is_json(), line: Vec::new() };
    let mut read = out.put(&last);
    while read && !ended.load(Ordering::SeqCst) {
        let news = spring.more(app)?;
        if news.is_empty() {
            std::thread::sleep(spring.pause());
            read = print::is_read();
        }
        for one in news {
            match one {
                Piece::Output(bytes) => read = out.put(&bytes),
                Piece::Remark(text) => {
                    read = out.end_line();
                    print::talk(&format!("groundcrew: {text}"));
                }
            }
        }
    }
    out.end_line();
    Ok(Exit::Done)
}

/// Where output comes from.
enum Spring {
    Files(Tail),
    Container(Box<Listener>),
}

/// What comes.
enum Piece {
    Output(Vec<u8>),
    /// For the person who reads.
    Remark(String),
}

impl Spring {
    fn begin(output: crew::Output, lines: usize) -> Result<(Vec<u8>, Self), Refusal> {
        match output {
            crew::Output::Runs(dir) => {
                let (last, tail) =
                    Tail::begin(&dir, lines).map_err(|error| Refusal::failed(chain(&error)))?;
                Ok((last, Self::Files(tail)))
            }
            crew::Output::Container(runtime) => {
                let (last, listener) = Listener::begin(*runtime, lines)
                    .map_err(|fault| Refusal::failed(fault.text))?;
                Ok((last, Self::Container(Box::new(listener))))
            }
        }
    }

    fn pause(&self) -> Duration {
        match self {
            Self::Files(_) => LOOK_PAUSE,
            Self::Container(_) => ASK_PAUSE,
        }
    }

    fn more(&mut self, app: &str) -> Result<Vec<Piece>, Refusal> {
        match self {
            Self::Files(tail) => {
                let news = tail.more().map_err(|error| Refusal::failed(chain(&error)))?;
                Ok(news.into_iter().map(|one| of_run(one, app)).collect())
            }
            Self::Container(listener) => {
                let heard = listener.more().map_err(|fault| Refusal::failed(fault.text))?;
                Ok(heard.into_iter().map(|one| of_container(one, app)).collect())
            }
        }
    }
}

fn of_run(news: News, app: &str) -> Piece {
    match news {
        News::Output(bytes) => Piece::Output(bytes),
        News::Run { txn, attempt } => {
            Piece::Remark(format!("{app} was started: {attempt} of update {txn}"))
        }
        News::Gap => Piece::Remark("more was written than could be read in time".to_owned()),
    }
}

fn of_container(heard: Heard, app: &str) -> Piece {
    match heard {
        Heard::Output(bytes) => Piece::Output(bytes),
        Heard::Another { image } => {
            Piece::Remark(format!("{app} was started in another container, of {image}"))
        }
    }
}

/// Where output goes: as it is, or an object per line.
struct Out<'a> {
    app: &'a str,
    json: bool,
    /// The line that has no end yet; only for objects.
    line: Vec<u8>,
}

/// Longest line that is waited for as a whole.
const LINE_MAX_BYTES: usize = 1 << 20;

impl Out<'_> {
    /// False: nobody reads it any more.
    fn put(&mut self, bytes: &[u8]) -> bool {
        if !self.json {
            return print::raw(bytes);
        }
        bytes.split_inclusive(|byte| *byte == b'\n').all(|part| {
            self.line.extend_from_slice(part);
            let whole = part.ends_with(b"\n") || self.line.len() > LINE_MAX_BYTES;
            !whole || self.end_line()
        })
    }

    fn end_line(&mut self) -> bool {
        if self.line.is_empty() {
            return true;
        }
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let object = serde_json::json!({ "schema": 1, "app": self.app, "line": line });
        print::raw(format!("{object}\n").as_bytes())
    }
}
