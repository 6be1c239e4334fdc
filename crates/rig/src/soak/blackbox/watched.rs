//! A disk that tells what is asked of it, and may stop in the middle for good.
//!
//! What is told goes to standard output, a line each, which leads out of the file system that loses
//! its power: `begin OP TIME`, `end OP TIME`, `segment NUMBER FIRST_SEQ` when a header is written,
//! `durable SEQ` when all records below are, because a sync said so. What was written is read from
//! the bytes themselves, so that nothing rests on what the writer believes.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use groundcrew_recorder::format::frame::{self, Step};
use groundcrew_recorder::format::index;
use groundcrew_recorder::format::segment::{HEADER_LEN, Header};
use groundcrew_recorder::recorder::now;
use groundcrew_recorder::storage::{Disk, Entry, SegmentFile, Source, Storage};

/// What can be asked of a disk.
pub(super) const OPS: [&str; 7] =
    ["create", "reopen", "write", "sync", "rename", "remove", "sync-dir"];

/// Where to stop: `OP:NTH:before` or `OP:NTH:after`; `any` is every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) op: String,
    pub(super) nth: u32,
    pub(super) after: bool,
}

impl Hold {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (op, nth, side) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Self { op: op.to_owned(), nth, after: side == "after" })
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = if self.after { "after" } else { "before" };
        write!(f, "{}:{}:{side}", self.op, self.nth)
    }
}

/// Says what happens, and stops where it was told to.
#[derive(Debug)]
pub(super) struct Tell {
    hold: Option<Hold>,
    seen: AtomicU32,
}

impl Tell {
    pub(super) fn new(hold: Option<Hold>) -> Arc<Self> {
        Arc::new(Self { hold, seen: AtomicU32::new(0) })
    }

    /// A line for whoever judges; when nobody listens any more, the end is near.
    pub(super) fn say(line: &str) {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).ok();
    }

    fn around<T>(&self, op: &str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let holds = self.hold.as_ref().filter(|hold| hold.op == op || hold.op == "any");
        let is_it = |hold: &&Hold| self.seen.fetch_add(1, Ordering::Relaxed) + 1 == hold.nth;
        let hold = holds.filter(is_it);
        Self::say(&format!("begin {op} {}", now().time_ns));
        if hold.is_some_and(|hold| !hold.after) {
            stop_here();
        }
        let done = run();
        if hold.is_some() {
            stop_here();
        }
        match &done {
            Ok(_) => Self::say(&format!("end {op} {}", now().time_ns)),
            Err(error) => Self::say(&format!("failed {op} {error}")),
        }
        done
    }
}

fn stop_here() -> ! {
    Tell::say("held");
    loop {
        std::thread::park();
    }
}

/// The disk.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    disk: Disk,
    tell: Arc<Tell>,
}

impl Watched {
    pub(super) fn new(disk: Disk, tell: Arc<Tell>) -> Self {
        Self { disk, tell }
    }
}

/// A file on it.
#[derive(Debug)]
pub(super) struct WatchedFile {
    file: File,
    tell: Arc<Tell>,
    written: Written,
}

impl Source for Watched {
    fn list(&self) -> io::Result<Vec<Entry>> {
        self.disk.list()
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(name, at, to)
    }
}

impl Storage for Watched {
    type File = WatchedFile;

    fn create(&mut self, name: &str) -> io::Result<WatchedFile> {
        let file = self.tell.around("create", || self.disk.create(name))?;
        Ok(WatchedFile { file, tell: Arc::clone(&self.tell), written: Written::default() })
    }

    fn reopen(&mut self, name: &str, len: u64) -> io::Result<WatchedFile> {
        let file = self.tell.around("reopen", || self.disk.reopen(name, len))?;
        Ok(WatchedFile { file, tell: Arc::clone(&self.tell), written: Written::default() })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.tell.around("rename", || self.disk.rename(from, to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        Tell::say(&format!("removing {name}"));
        self.tell.around("remove", || self.disk.remove(name))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.tell.around("sync-dir", || self.disk.sync_dir())
    }
}

impl SegmentFile for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tell.around("write", || SegmentFile::write(&mut self.file, bytes))?;
        self.written.take(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.tell.around("sync", || SegmentFile::sync(&mut self.file))?;
        if let Some(next) = self.written.next_seq {
            Tell::say(&format!("durable {next}"));
        }
        Ok(())
    }
}

/// What was written into a file, as a reader would understand it.
#[derive(Debug, Default)]
struct Written {
    /// Bytes that are no whole frame yet.
    rest: Vec<u8>,
    seed: Option<u32>,
    next_seq: Option<u64>,
}

impl Written {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        if self.seed.is_none() {
            let Ok((header, len)) = Header::decode(&self.rest) else { return };
            Tell::say(&format!("segment {} {}", header.number, header.first_seq));
            self.seed = Some(header.seed());
            at = len.max(HEADER_LEN);
        }
        let seed = self.seed.unwrap_or(0);
        while let Some(rest) = self.rest.get(at..)
            && let Step::Record { record, len } = frame::decode(rest, seed)
        {
            if record.head.kind != index::KIND {
                self.next_seq = Some(record.head.seq + 1);
            }
            at += len;
        }
        self.rest.drain(..at.min(self.rest.len()));
    }
}
