//! Reads an app's output as it grows: over rotations, and from one run to the next.
//!
//! It only reads, so it needs neither agent nor lock, and any number may read at a time. A file is
//! followed by its open descriptor and its inode: a rotation renames it, so what comes after it is
//! looked for by going from its new name to the younger ones. A file that was dropped meanwhile is a
//! gap, and is told.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::client::{self, RunEntry};
use super::spec::{Kind, MAX_LOG_FILES};
use super::{Error, LOG_FILE};

/// Most bytes that are read back for the last lines.
const BACK_MAX_BYTES: u64 = 16 << 20;

/// Most bytes that are given at a time.
const CHUNK_MAX_BYTES: u64 = 1 << 20;

/// Something that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Output, as the app wrote it.
    Output(Vec<u8>),
    /// What follows is of another run.
    Run {
        /// Its update.
        txn: String,
        /// Its name within the update.
        attempt: String,
    },
    /// Output was rotated away before it was read.
    Gap,
}

/// Follows the output of one app.
#[derive(Debug)]
pub struct Tail {
    app_dir: PathBuf,
    run: Option<RunEntry>,
    open: Option<File>,
}

impl Tail {
    /// The last lines of the latest run, and what follows them. An app that never ran has none yet.
    ///
    /// # Errors
    /// The runs cannot be listed, or the output not be read.
    pub fn begin(app_dir: &Path, lines: usize) -> Result<(Vec<u8>, Self), Error> {
        let mut tail = Self { app_dir: app_dir.into(), run: latest(app_dir)?, open: None };
        let Some(run) = &tail.run else { return Ok((Vec::new(), tail)) };
        let dir = run.dir.clone();
        let mut found = Vec::new();
        for age in 0..MAX_LOG_FILES {
            let Some(mut file) = open(&dir, age)? else { break };
            let left = BACK_MAX_BYTES.saturating_sub(found.len() as u64);
            let mut bytes = end_of(&mut file, left).map_err(failed("read", &name(&dir, age)))?;
            if age == 0 {
                tail.open = Some(file);
            }
            bytes.append(&mut found);
            found = bytes;
            if left == 0 || count_lines(&found) > lines {
                break;
            }
        }
        Ok((last_lines(found, lines), tail))
    }

    /// What came since; empty: nothing yet.
    ///
    /// # Errors
    /// The output cannot be read. What is being rotated or removed at this moment is read next time.
    pub fn more(&mut self) -> Result<Vec<News>, Error> {
        let mut news = Vec::new();
        self.take_file(&mut news)?;
        if news.is_empty() {
            // Whoever removes old runs may be at work: the list is asked for again.
            let next = client::runs(&self.app_dir).ok().and_then(|runs| self.next(runs));
            if let Some(next) = next {
                // Its last words may have come after we read and before we saw that it has ended.
                self.take_file(&mut news)?;
                news.push(News::Run { txn: next.txn.clone(), attempt: next.attempt.clone() });
                self.open = oldest(&next.dir)?;
                self.run = Some(next);
                self.take_file(&mut news)?;
            }
        }
        Ok(news)
    }

    /// The run of the app after the present one.
    fn next(&self, runs: Vec<RunEntry>) -> Option<RunEntry> {
        let mut later = runs.into_iter().filter(|run| run.kind == Kind::App);
        later.find(|run| self.run.as_ref().is_none_or(|now| run > now))
    }

    fn take_file(&mut self, news: &mut Vec<News>) -> Result<(), Error> {
        let Some(run) = &self.run else { return Ok(()) };
        let dir = run.dir.clone();
        if self.open.is_none() {
            self.open = oldest(&dir)?;
        }
        loop {
            let Some(file) = &mut self.open else { return Ok(()) };
            // Before the reading: what is written into a file ends before it is rotated.
            let place = place_of(file, &dir)?;
            let mut bytes = Vec::new();
            file.take(CHUNK_MAX_BYTES)
                .read_to_end(&mut bytes)
                .map_err(failed("read", &name(&dir, 0)))?;
            let full = bytes.len() as u64 == CHUNK_MAX_BYTES;
            if !bytes.is_empty() {
                news.push(News::Output(bytes));
            }
            if full {
                return Ok(());
            }
            match place {
                Place::Written => return Ok(()),
                Place::Rotated(age) => {
                    let next = open(&dir, age - 1)?;
                    // Another rotation in between would have moved ours first.
                    let still = place_of(file, &dir)?;
                    if matches!(still, Place::Rotated(now) if now == age) {
                        self.open = next;
                    }
                }
                Place::Gone => {
                    let next = oldest(&dir)?;
                    // Nothing is there between a file that went and the first word of the next.
                    if next.is_none() {
                        return Ok(());
                    }
                    news.push(News::Gap);
                    self.open = next;
                }
            }
        }
    }
}

/// Where a file that is read is by now.
enum Place {
    /// The app writes it.
    Written,
    /// So many younger ones are there.
    Rotated(u32),
    /// It was dropped.
    Gone,
}

fn place_of(file: &File, dir: &Path) -> Result<Place, Error> {
    let inode = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let ours = file.metadata().map(inode).map_err(failed("look at", &name(dir, 0)))?;
    let found = (0..MAX_LOG_FILES)
        .find(|age| fs::metadata(name(dir, *age)).map(inode).is_ok_and(|inode| inode == ours));
    Ok(match found {
        Some(0) => Place::Written,
        Some(age) => Place::Rotated(age),
        None => Place::Gone,
    })
}

fn latest(app_dir: &Path) -> Result<Option<RunEntry>, Error> {
    Ok(client::runs(app_dir)?.into_iter().rfind(|run| run.kind == Kind::App))
}

/// The oldest file that is there.
fn oldest(dir: &Path) -> Result<Option<File>, Error> {
    let age = (0..MAX_LOG_FILES).take_while(|age| name(dir, *age).exists()).last();
    age.map_or(Ok(None), |age| open(dir, age))
}

fn open(dir: &Path, age: u32) -> Result<Option<File>, Error> {
    let path = name(dir, age);
    match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(failed("read", &path)),
    }
}

fn name(dir: &Path, age: u32) -> PathBuf {
    match age {
        0 => dir.join(LOG_FILE),
        age => dir.join(format!("{LOG_FILE}.{age}")),
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::file(doing, path, source)
}

/// The end of a file; it is left at its end.
fn end_of(file: &mut File, bytes: u64) -> std::io::Result<Vec<u8>> {
    let begin = file.metadata()?.len().saturating_sub(bytes);
    file.seek(SeekFrom::Start(begin))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(end)
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.split_inclusive(|byte| *byte == b'\n').count()
}

fn last_lines(bytes: Vec<u8>, lines: usize) -> Vec<u8> {
    let skip = count_lines(&bytes).saturating_sub(lines);
    bytes.split_inclusive(|byte| *byte == b'\n').skip(skip).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::super::log::Log;
    use super::super::spec::LogLimits;
    use super::*;

    const LIMITS: LogLimits = LogLimits { bytes: 8, files: 3 };

    fn run(app: &Path, seq: u64) -> Log {
        let dir = app.join(format!("txn-{seq}"));
        fs::create_dir_all(&dir).unwrap();
        let spec = serde_json::json!({
            "schema": 1, "app": "a", "txn": "txn", "attempt": seq.to_string(), "seq": seq,
            "release": "sha256:0", "argv": ["x"], "cwd": "/", "env": {},
        });
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).write(true).mode(0o600).open(dir.join("spec.json"));
        file.as_mut().unwrap().write_all(spec.to_string().as_bytes()).unwrap();
        Log::new(&dir, LIMITS)
    }

    /// All news as one text.
    fn told(tail: &mut Tail) -> String {
        let mut text = String::new();
        loop {
            let news = tail.more().unwrap();
            if news.is_empty() {
                return text;
            }
            for one in news {
                match one {
                    News::Output(bytes) => text.push_str(&String::from_utf8(bytes).unwrap()),
                    News::Run { attempt, .. } => text.push_str(&format!("<run {attempt}>")),
                    News::Gap => text.push_str("<gap>"),
                }
            }
        }
    }

    #[test]
    fn output_is_followed_over_rotations_and_runs() {
        let app = tempfile::tempdir().unwrap();
        let (none, mut tail) = Tail::begin(app.path(), 5).unwrap();
        assert!(none.is_empty());
        assert_eq!(told(&mut tail), "");
        let mut log = run(app.path(), 1);
        assert_eq!(told(&mut tail), "<run 1>");
        log.write(b"abc");
        assert_eq!(told(&mut tail), "abc");
        log.write(b"defgh");
        assert_eq!(told(&mut tail), "defgh");
        log.write(b"ijklmnopqr");
        assert_eq!(told(&mut tail), "ijklmnopqr", "over two rotations");
        log.write(b"st");
        let mut second = run(app.path(), 2);
        second.write(b"0123456789ab");
        assert_eq!(told(&mut tail), "st<run 2>0123456789ab");
        run(app.path(), 3).write(b"third");
        run(app.path(), 4);
        assert_eq!(told(&mut tail), "<run 3>third<run 4>");
    }

    #[test]
    fn what_was_rotated_away_before_it_was_read_is_a_gap() {
        let app = tempfile::tempdir().unwrap();
        let mut log = run(app.path(), 1);
        log.write(b"ab");
        let (begin, mut tail) = Tail::begin(app.path(), 5).unwrap();
        assert_eq!(begin, b"ab");
        log.write(b"cdefgh01234567abcdefgh01234567x");
        let text = told(&mut tail);
        assert_eq!(text, "cdefgh<gap>abcdefgh01234567x", "the open file is still read");
    }

    #[test]
    fn the_last_lines_are_counted_back_over_files() {
        let app = tempfile::tempdir().unwrap();
        let mut log = run(app.path(), 1);
        log.write(b"a\nb\nc\nd\ne\nf");
        for (lines, wanted) in
            [(0, ""), (1, "f"), (2, "e\nf"), (4, "c\nd\ne\nf"), (99, "a\nb\nc\nd\ne\nf")]
        {
            let (begin, mut tail) = Tail::begin(app.path(), lines).unwrap();
            assert_eq!(String::from_utf8(begin).unwrap(), wanted, "{lines}");
            assert_eq!(told(&mut tail), "", "nothing is told twice");
        }
    }
}
