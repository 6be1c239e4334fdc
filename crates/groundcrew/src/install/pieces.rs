//! The files of an installation: where each goes, what it says, how ours is told from another's.

use std::fs;

use clap::ValueEnum;

use crate::cli;
use crate::exit::Refusal;

/// Stands in every text that we write, so that it can be told from one of somebody else.
const MARK: &str = "Written by `groundcrew install`";

/// Where the program goes.
const BINARY: &str = "/usr/local/bin/groundcrew";
/// Where units go.
const UNITS: &str = "/etc/systemd/system";
/// What makes one start with the machine, as `systemctl enable` would.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";
const TMPFILES: &str = "/etc/tmpfiles.d/groundcrew.conf";
const MAN: &str = "/usr/local/share/man/man1";
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "/usr/local/share/bash-completion/completions/groundcrew"),
    ("zsh", "/usr/local/share/zsh/site-functions/_groundcrew"),
    ("fish", "/usr/local/share/fish/vendor_completions.d/groundcrew.fish"),
];

const TMPFILES_TEXT: &str = include_str!("../../../../dist/tmpfiles.d/groundcrew.conf");
/// The commented configuration; `init` writes the same.
pub(crate) const CONFIGURATION: &str = include_str!("../../../../dist/groundcrew.toml");

/// What is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The agent, which looks after all apps.
    #[default]
    Agent,
    /// The flight recorder.
    Recorder,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Agent, Self::Recorder];

    /// As people say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Recorder => "recorder",
        }
    }

    /// The name of its unit, without its ending.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Agent => "groundcrew",
            Self::Recorder => "groundcrew-recorder",
        }
    }

    /// Where its unit goes.
    pub(super) fn unit_path(self) -> String {
        format!("{UNITS}/{}.service", self.unit())
    }

    fn unit_text(self) -> &'static str {
        match self {
            Self::Agent => include_str!("../../../../dist/systemd/groundcrew.service"),
            Self::Recorder => include_str!("../../../../dist/systemd/groundcrew-recorder.service"),
        }
    }
}

/// What a piece says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A symlink to there.
    Link(String),
}

/// One file of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Where it goes, absolute.
    pub(crate) path: String,
    /// What it says.
    pub(crate) content: Content,
    /// Permission bits.
    pub(crate) mode: u32,
    /// One that is there stays, and is not taken away either.
    pub(crate) keep: bool,
    /// The role has to start again when it changed.
    pub(crate) restarts: bool,
    /// A person may want to read it before it is written.
    pub(crate) shown: bool,
    /// Whether what lies there was written by an installation.
    pub(crate) is_ours: fn(&[u8]) -> bool,
}

impl Piece {
    fn text(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            content: Content::Bytes(text.as_bytes().to_vec()),
            mode: 0o644,
            keep: false,
            restarts: false,
            shown: true,
            is_ours: has_mark,
        }
    }
}

/// The pieces that only this role has: its unit, and what starts it with the machine.
pub(crate) fn own_pieces(role: Role) -> Vec<Piece> {
    let (path, text) = (role.unit_path(), role.unit_text().replace("@BINARY@", BINARY));
    let enabled = format!("{ENABLED}/{}.service", role.unit());
    vec![
        Piece { restarts: true, ..Piece::text(&path, &text) },
        Piece { content: Content::Link(path), ..Piece::text(&enabled, "") },
    ]
}

/// All pieces of a role.
///
/// # Errors
///
/// This program cannot be read, or a page not be made.
pub(crate) fn pieces(role: Role) -> Result<Vec<Piece>, Refusal> {
    let mut pieces = vec![
        Piece {
            content: Content::Bytes(binary()?),
            mode: 0o755,
            restarts: true,
            shown: false,
            is_ours: is_program,
            ..Piece::text(BINARY, "")
        },
        Piece { keep: true, ..Piece::text(crate::config::MAIN_FILE, CONFIGURATION) },
        Piece::text(TMPFILES, TMPFILES_TEXT),
    ];
    pieces.extend(own_pieces(role));
    for (shell, path) in COMPLETIONS {
        let script = cli::complete::script(shell)?;
        let text = format!("{}# {MARK}.\n{}", head(shell), String::from_utf8_lossy(&script));
        pieces.push(Piece { shown: false, ..Piece::text(path, &text) });
    }
    for (name, page) in cli::man::pages()? {
        let text = format!(".\\\" {MARK}.\n{}", String::from_utf8_lossy(&page));
        pieces.push(Piece { shown: false, ..Piece::text(&format!("{MAN}/{name}"), &text) });
    }
    Ok(pieces)
}

/// What zsh wants in the first line of a function that it finds by itself.
fn head(shell: &str) -> &'static str {
    if shell == "zsh" { "#compdef groundcrew\n" } else { "" }
}

/// This program, even if its file was replaced or removed meanwhile.
///
/// # Errors
///
/// It cannot be read.
fn binary() -> Result<Vec<u8>, Refusal> {
    let read = fs::read("/proc/self/exe");
    read.map_err(|error| Refusal::failed(format!("cannot read this program: {error}")))
}

fn has_mark(text: &[u8]) -> bool {
    text.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

/// A groundcrew of any version holds the mark among its texts.
fn is_program(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF") && has_mark(bytes)
}
