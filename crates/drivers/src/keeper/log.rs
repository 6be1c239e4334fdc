//! The app's output on disk: a few files of bounded size, rotated by rename.
//!
//! `log` is written; when it is full it becomes `log.1`, that `log.2`, and the oldest is dropped.
//! Output is never a reason to disturb the app: what cannot be written is counted and dropped.
//! Logs are not made durable line by line; an exit code matters, its last lines are a courtesy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::LOG_FILE;
use super::spec::LogLimits;

/// The log of one run.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    limits: LogLimits,
    file: Option<File>,
    size: u64,
    lost: u64,
}

impl Log {
    /// Continues what is in `dir`, or begins; opens the file at the first write.
    pub(super) fn new(dir: &Path, limits: LogLimits) -> Self {
        Self { dir: dir.into(), limits, file: None, size: 0, lost: 0 }
    }

    /// Bytes that could not be written.
    pub(super) fn lost_bytes(&self) -> u64 {
        self.lost
    }

    /// Writes all of `bytes`, cut into several files if one is too small.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = match self.room() {
                Ok(room) => room,
                Err(_) => return self.lose(bytes.len()),
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let written = self.file.as_mut().map(|file| file.write_all(now));
            if !matches!(written, Some(Ok(()))) {
                // A part may have been written; the next write asks the file how large it is.
                self.file = None;
                return self.lose(bytes.len());
            }
            self.size += u64::try_from(now.len()).unwrap_or(u64::MAX);
            bytes = later;
        }
    }

    fn lose(&mut self, bytes: usize) {
        self.lost = self.lost.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// How many bytes fit the file that is open after this, at least one.
    fn room(&mut self) -> io::Result<usize> {
        if self.file.is_none() {
            self.open()?;
        }
        if self.size >= self.limits.bytes {
            self.file = None;
            self.rotate()?;
            self.open()?;
        }
        Ok(usize::try_from(self.limits.bytes.saturating_sub(self.size)).unwrap_or(usize::MAX))
    }

    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.name(0))?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        let last = self.limits.files.saturating_sub(1);
        if last == 0 {
            return fs::remove_file(self.name(0));
        }
        for to in (1..=last).rev() {
            // Not durable on purpose: a power cut may cost the newest lines, no more.
            match rustix::fs::renameat(CWD, self.name(to - 1), CWD, self.name(to)) {
                Err(rustix::io::Errno::NOENT) | Ok(()) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn name(&self, age: u32) -> PathBuf {
        match age {
            0 => self.dir.join(LOG_FILE),
            age => self.dir.join(format!("{LOG_FILE}.{age}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(dir: &Path) -> Vec<(String, String)> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_oldest_output_is_dropped_and_no_file_is_larger_than_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(dir.path(), LogLimits { bytes: 4, files: 3 });
        log.write(b"abc");
        log.write(b"defgh");
        log.write(b"ijklmnop");
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let expected = [file("log", "mnop"), file("log.1", "ijkl"), file("log.2", "efgh")];
        assert_eq!(contents(dir.path()), expected);
        assert_eq!(log.lost_bytes(), 0);
    }

    #[test]
    fn a_log_of_one_file_starts_over_and_a_reopened_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits { bytes: 4, files: 1 };
        Log::new(dir.path(), limits).write(b"abcde");
        Log::new(dir.path(), limits).write(b"fg");
        assert_eq!(contents(dir.path()), [("log".to_owned(), "efg".to_owned())]);
    }

    #[test]
    fn output_that_cannot_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(&dir.path().join("gone"), LogLimits { bytes: 4, files: 3 });
        log.write(b"abc");
        log.write(b"de");
        assert_eq!(log.lost_bytes(), 5);
    }
}
