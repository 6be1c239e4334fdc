//! Where records go: standard output or a file that is there when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::Refusal;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 256 << 10;

/// Where bytes go.
pub(super) enum Out {
    /// Whoever reads standard output.
    Stdout(BufWriter<io::Stdout>),
    /// A file that is made.
    Aside(Aside),
    /// Something that is there, as a pipe.
    There(BufWriter<File>),
}

/// A file that is written aside until it is whole; it goes away if that never comes.
pub(super) struct Aside {
    file: BufWriter<File>,
    aside: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.done {
            // Nobody takes it for the whole file if it stays.
            drop(fs::remove_file(&self.aside));
        }
    }
}

impl Aside {
    fn finish(&mut self) -> io::Result<()> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        rustix::fs::rename(&self.aside, &self.path)?;
        self.done = true;
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Out {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(BUFFER, io::stdout()))
    }

    /// A file. What is there and no regular file, as a pipe or a device, is written to as it is.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn file(path: &Path) -> Result<Self, Refusal> {
        let fail = |error: io::Error| cannot("write", path, &error);
        // Behind a link the file is replaced, and not the link.
        let path = match path.canonicalize() {
            Ok(whole) if !whole.is_file() => {
                let there = OpenOptions::new().write(true).open(&whole).map_err(fail)?;
                return Ok(Self::There(BufWriter::with_capacity(BUFFER, there)));
            }
            Ok(whole) => whole,
            Err(_) => path.to_owned(),
        };
        let mut aside = path.clone().into_os_string();
        aside.push(".part");
        let aside = PathBuf::from(aside);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let file = File::create_new(&aside).map_err(fail)?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self::Aside(Aside { file, aside, path, done: false }))
    }

    /// All was written: the file gets its name. False: nobody reads any more.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn finish(self) -> Result<bool, Refusal> {
        let flushed = match self {
            Self::Stdout(mut out) => out.flush(),
            Self::There(mut out) => out.flush(),
            Self::Aside(mut aside) => {
                let finished = aside.finish();
                finished.map_err(|error| cannot("write", &aside.path, &error))?;
                return Ok(true);
            }
        };
        match flushed {
            Ok(()) => Ok(true),
            Err(error) => unless_gone(&error).map(|()| false),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::There(file) => file.write(bytes),
            Self::Aside(aside) => aside.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::There(file) => file.flush(),
            Self::Aside(aside) => aside.file.flush(),
        }
    }
}

/// Why something cannot be done with a path.
pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Refusal {
    Refusal::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// Nothing, if nobody reads any more; else why it cannot be written.
pub(super) fn unless_gone(error: &io::Error) -> Result<(), Refusal> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Refusal::failed(format!("cannot write the records: {error}"))),
    }
}
