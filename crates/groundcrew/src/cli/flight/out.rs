//! Where records go: standard output or a file that is there when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::Refusal;

/// Where bytes go.
pub(super) enum Out {
    /// Whoever reads standard output.
    Stdout(BufWriter<io::Stdout>),
    /// A file.
    File(Aside),
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
        Self::Stdout(BufWriter::with_capacity(1 << 16, io::stdout()))
    }

    /// A file.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn file(path: &Path) -> Result<Self, Refusal> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".part");
        let aside = PathBuf::from(aside);
        let file = File::create(&aside).map_err(|error| cannot("write", &aside, &error))?;
        let (file, path) = (BufWriter::with_capacity(1 << 20, file), path.to_owned());
        Ok(Self::File(Aside { file, aside, path, done: false }))
    }

    /// All was written: the file gets its name.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self {
            Self::Stdout(mut out) => match out.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Refusal::failed(format!("cannot write to standard output: {error}")))
                }
                _ => Ok(()),
            },
            Self::File(mut aside) => {
                aside.finish().map_err(|error| cannot("write", &aside.path, &error))
            }
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(aside) => aside.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(aside) => aside.file.flush(),
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
