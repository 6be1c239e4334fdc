//! The words of commands that have commands of their own, or many options.

use std::path::PathBuf;

use crate::install::Role;
use clap::Subcommand;

use super::Ask;
use crate::cli::complete;

/// What to do with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether it is valid, and all that is wrong.
    Check,
    /// Print every value that is written, and where.
    Show,
    /// Print its JSON Schema.
    Schema,
    /// Run an app with its new configuration, through the same gates as a release.
    Apply(Ask),
}

/// What to do with snapshots.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// List them, oldest first.
    List {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Read one, or all, and compare with what was copied.
    Verify {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// Which; all by default.
        #[arg(add = complete::snapshots())]
        id: Option<String>,
    },
    /// Put the data of one back; what is there now is kept aside.
    Restore {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// Which.
        #[arg(add = complete::snapshots())]
        id: String,
    },
}

/// What to do with bundles.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Put the digests of its files and notes into a bundle's `release.toml`.
    Seal {
        /// The bundle's directory.
        dir: PathBuf,
    },
    /// Check a bundle as a host would that fetches it.
    Verify {
        /// The bundle: a directory or a `.tar.zst`.
        path: PathBuf,
        /// It has to be signed with this public key.
        #[arg(long, value_name = "FILE")]
        minisign_key: Option<PathBuf>,
    },
    /// Bring a bundle into a source directory and point a channel at it.
    Publish {
        /// The bundle: a directory or a `.tar.zst`.
        path: PathBuf,
        /// The source directory, which holds `<app>/<version>`.
        #[arg(long, value_name = "ROOT")]
        to: PathBuf,
        /// The channel that shall point at it.
        #[arg(long, default_value = "stable", value_name = "NAME")]
        channel: String,
        /// The channel's serial; by default the next one, if it has one.
        #[arg(long, value_name = "N")]
        serial: Option<u64>,
    },
}

/// What to ask of a source.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SourceCommand {
    /// Say what the channel names now: digest, version, platform, signature, notes.
    Check {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// List what can be pinned: the tags of a registry, the versions of a directory.
    Tags {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
}

/// A promotion.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Promote {
    /// The app.
    #[arg(add = complete::apps())]
    pub(crate) app: String,
    /// The tag whose release is promoted.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) from: String,
    /// The tag that shall name it too.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) to: String,
    /// Although it was not proven on this host; needs --why.
    #[arg(long, requires = "why")]
    pub(crate) force: bool,
    /// Why; it is kept with the promotion.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

/// What to do with post-mortems.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PostmortemCommand {
    /// List them, open ones first.
    List {
        /// Of one app; all by default.
        #[arg(add = complete::apps())]
        app: Option<String>,
    },
    /// Print one.
    Show {
        /// Its name, as listed, or an app that has only one open.
        #[arg(add = complete::post_mortems())]
        name: String,
    },
    /// Close one whose sections are written.
    Close {
        /// Its name, as listed, or an app that has only one open.
        #[arg(add = complete::post_mortems())]
        name: String,
        /// Who closes it; the user by default.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// The root cause; it goes into its section.
        #[arg(long, value_name = "TEXT")]
        cause: Option<String>,
        /// Although sections are not written; the file will say so.
        #[arg(long)]
        as_is: bool,
    },
}

/// How it is installed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// As what.
    #[arg(long, value_enum, default_value_t, value_name = "ROLE")]
    pub(crate) role: Role,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write below this directory and start nothing, for packages and images.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// How it is taken away.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// As what.
    #[arg(long, value_enum, default_value_t, value_name = "ROLE")]
    pub(crate) role: Role,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove below this directory and stop nothing.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// How the demo is played.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Leave everything there to play with.
    #[arg(long)]
    pub(crate) keep: bool,
}
