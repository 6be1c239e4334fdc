//! The words of the commands about flights.

use std::path::PathBuf;

use clap::Subcommand;

/// Where the recordings are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Root {
    /// The directory with the recordings; wins over `[recorder] root`.
    #[arg(long, value_name = "DIR", env = "GROUNDCREW_RECORDINGS")]
    pub(crate) recordings: Option<PathBuf>,
}

/// Which flight is read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Which {
    /// The flight: its id, the beginning of it, `last`, its directory, or its segment files.
    #[arg(required_unless_present = "segment", value_name = "FLIGHT")]
    pub(crate) flight: Vec<String>,
    /// Read these segment files, wherever they are; `*`, `?` and `[…]` stand for names.
    #[arg(long, value_name = "GLOB", num_args = 1.., conflicts_with = "flight")]
    pub(crate) segment: Vec<String>,
    /// Where the recordings are.
    #[command(flatten)]
    pub(crate) root: Root,
}

/// Which records are meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only records of this type: its name or number (0x0012); may be given again.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Not before: seconds since the flight began, or a moment (2026-01-31T12:00:00Z).
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) from: Option<String>,
    /// Not after: seconds since the flight began, or a moment.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) to: Option<String>,
    /// Only records of this source: its name or number; may be given again.
    #[arg(long = "source", value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
}

/// The form of what is exported.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Form {
    /// JSON lines: an object per record.
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// A table per type.
    #[arg(long)]
    pub(crate) csv: bool,
    /// A table per type with typed columns, as Apache Parquet.
    #[arg(long)]
    pub(crate) parquet: bool,
    /// MCAP with a JSON Schema per type.
    #[arg(long)]
    pub(crate) mcap: bool,
    /// The raw MAVLink as a telemetry log of ground stations; no other records.
    #[arg(long)]
    pub(crate) tlog: bool,
}

/// What is pulled, and to where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PullArgs {
    /// A directory of recordings or of one flight: a path, user@host:path, or
    /// ssh://user@host:port/path.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The directory that the flights go to [default: this host's recordings].
    #[arg(value_name = "DEST")]
    pub(crate) dest: Option<PathBuf>,
    /// Take also flights that have not ended: sealed segments of one that is being recorded, all of
    /// one that nobody ended.
    #[arg(long)]
    pub(crate) unended: bool,
    /// Leave no word at the source that a flight was pulled (`pulled.json`).
    #[arg(long)]
    pub(crate) no_receipt: bool,
    /// Give another host up when it says nothing for so long.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: String,
    /// Where the recordings are.
    #[command(flatten)]
    pub(crate) root: Root,
}

/// What to do with flights.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum FlightCommand {
    /// List the flights, oldest first.
    List {
        /// Where the recordings are.
        #[command(flatten)]
        root: Root,
    },
    /// Print records.
    Cat {
        /// Which flight.
        #[command(flatten)]
        which: Which,
        /// Which records.
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(short, value_name = "N")]
        n: Option<u64>,
    },
    /// Print the last records.
    Tail {
        /// Which flight.
        #[command(flatten)]
        which: Which,
        /// Which records.
        #[command(flatten)]
        filter: Filter,
        /// So many.
        #[arg(short, default_value_t = 10, value_name = "N")]
        n: usize,
        /// Go on with what comes, until the recording ends or Ctrl-C.
        #[arg(short, long)]
        follow: bool,
    },
    /// Read all of a flight and say what is damaged or missing.
    Verify {
        /// Which flight.
        #[command(flatten)]
        which: Which,
    },
    /// Fetch flights from another directory, disk or host, and verify them; goes on where it was
    /// interrupted.
    Pull(PullArgs),
    /// End a flight whose recorder could not; done twice, it changes nothing.
    Recover {
        /// The flight: its id, the beginning of it, `last`, or its directory.
        #[arg(value_name = "FLIGHT")]
        flight: String,
        /// Where the recordings are.
        #[command(flatten)]
        root: Root,
    },
    /// Say what is in a flight: records by type, losses, what went wrong.
    Summarise {
        /// Which flight.
        #[command(flatten)]
        which: Which,
        /// Fail unless the recorder ended it itself and no ring overran.
        #[arg(long)]
        require_clean: bool,
    },
    /// Say what a flight was like, as Markdown: figures, what happened, what to look at.
    Report {
        /// Which flight.
        #[command(flatten)]
        which: Which,
    },
    /// Lay the figures of two flights side by side, and mark what became worse by over 10 %.
    Diff {
        /// The flight to compare with: its id, the beginning of it, `last`, or its directory.
        #[arg(value_name = "FIRST")]
        first: String,
        /// The flight that is compared.
        #[arg(value_name = "SECOND")]
        second: String,
        /// Where the recordings are.
        #[command(flatten)]
        root: Root,
    },
    /// Make a flight of some of a flight's records.
    Slice {
        /// Which flight.
        #[command(flatten)]
        which: Which,
        /// Which records.
        #[command(flatten)]
        filter: Filter,
        /// The new flight's directory [default: beside the recordings, by its id].
        #[arg(short, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Write records in another format.
    Export {
        /// Which flight.
        #[command(flatten)]
        which: Which,
        /// Which records.
        #[command(flatten)]
        filter: Filter,
        /// Which format.
        #[command(flatten)]
        form: Form,
        /// Write this file, or of several tables this directory [default: standard output].
        #[arg(short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}
