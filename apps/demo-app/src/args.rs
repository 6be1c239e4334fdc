//! The command line, read by hand: three words, five flags.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::release::{Behavior, RELEASES, behavior};

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A word that means nothing here.
    #[error(
        "unknown argument {word:?}; known: [migrate | undo | check] --release V --as V --data DIR --port N"
    )]
    Unknown {
        /// The word.
        word: OsString,
    },
    /// A flag stands last, without its value.
    #[error("{flag} needs a value")]
    NoValue {
        /// The flag.
        flag: &'static str,
    },
    /// A flag that this command needs is missing.
    #[error("{flag} is missing")]
    Missing {
        /// The flag.
        flag: &'static str,
    },
    /// A value is not a number in its range.
    #[error("{flag} is {value:?}, which is no number in its range")]
    Number {
        /// The flag or environment variable.
        flag: &'static str,
        /// Its value.
        value: OsString,
    },
    /// The release is not in the table.
    #[error("there is no release {release:?}; there are {}", versions())]
    Release {
        /// What was asked for.
        release: OsString,
    },
}

fn versions() -> String {
    RELEASES.map(|known| known.version).join(", ")
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve on this port; 0 takes a free one.
    Serve {
        /// The port.
        port: u16,
    },
    /// Bring the file into the release's format.
    Migrate,
    /// Bring the file back into the format before the release's.
    Undo,
    /// Say whether the file is well-formed for the release.
    Check,
}

/// A whole command line.
#[derive(Debug)]
pub(crate) struct Args {
    /// What to do.
    pub(crate) command: Command,
    /// As which release.
    pub(crate) behavior: Behavior,
    /// In which directory.
    pub(crate) data: PathBuf,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, UsageError> {
    let (mut release, mut name, mut data, mut port, mut command) = (None, None, None, None, None);
    let mut words = args.into_iter();
    while let Some(word) = words.next() {
        let (slot, flag) = match word.to_str() {
            Some("--release") => (&mut release, "--release"),
            Some("--as") => (&mut name, "--as"),
            Some("--data") => (&mut data, "--data"),
            Some("--port") => (&mut port, "--port"),
            Some("migrate") if command.is_none() => {
                command = Some(Command::Migrate);
                continue;
            }
            Some("undo") if command.is_none() => {
                command = Some(Command::Undo);
                continue;
            }
            Some("check") if command.is_none() => {
                command = Some(Command::Check);
                continue;
            }
            _ => return Err(UsageError::Unknown { word }),
        };
        *slot = Some(words.next().ok_or(UsageError::NoValue { flag })?);
    }
    let release = release.ok_or(UsageError::Missing { flag: "--release" })?;
    let mut known = release.to_str().and_then(behavior);
    if let (Some(known), Some(name)) = (&mut known, name) {
        // Read once, and said until the process ends.
        known.version = name.to_string_lossy().into_owned().leak();
    }
    let command = match command {
        Some(command) => command,
        None => Command::Serve { port: port_number(port)? },
    };
    Ok(Args {
        command,
        behavior: known.ok_or(UsageError::Release { release })?,
        data: data.ok_or(UsageError::Missing { flag: "--data" })?.into(),
    })
}

fn port_number(port: Option<OsString>) -> Result<u16, UsageError> {
    let value = port.ok_or(UsageError::Missing { flag: "--port" })?;
    let number = OsStr::to_str(&value).and_then(|text| text.parse().ok());
    number.ok_or(UsageError::Number { flag: "--port", value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_says_command_release_and_place() {
        let args = parsed("migrate --release 1.1.0 --data d").unwrap();
        assert_eq!((args.command, args.behavior.version), (Command::Migrate, "1.1.0"));
        let args = parsed("--port 0 --release 2.0.0 --data d").unwrap();
        assert_eq!((args.command, args.behavior.version), (Command::Serve { port: 0 }, "2.0.0"));
    }

    #[test]
    fn a_release_may_be_played_under_another_name() {
        let args = parsed("--release 1.2.0 --as 1.7.3 --data d --port 0").unwrap();
        let played = behavior("1.2.0").unwrap();
        assert_eq!(args.behavior, Behavior { version: "1.7.3", ..played });
    }

    #[test]
    fn a_wrong_command_line_names_the_word_that_is_wrong() {
        for (line, named) in [
            ("serve", "\"serve\""),
            ("check migrate", "\"migrate\""),
            ("--release", "--release needs a value"),
            ("--release 9.9.9 --data d --port 1", "\"9.9.9\"; there are 1.0.0"),
            ("--release 1.0.0 --port 1", "--data is missing"),
            ("--release 1.0.0 --data d", "--port is missing"),
            ("--release 1.0.0 --data d --port 65536", "\"65536\""),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
