//! The words of the command line.

mod flight;
mod sub;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::complete;
use crate::config::Overrides;

pub(crate) use flight::{Filter, FlightCommand, Form, PullArgs, Root as FlightRoot, Which};
pub(crate) use sub::{
    BundleCommand, ConfigCommand, DemoArgs, InstallArgs, PostmortemCommand, Promote,
    SnapshotCommand, SourceCommand, UninstallArgs,
};

/// Updates apps when it is safe, proves it, and takes them back with their data.
#[derive(Debug, Parser)]
#[command(name = "groundcrew", version, disable_help_subcommand = true, after_help = crate::exit::help())]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where things are.
    #[command(flatten)]
    pub(crate) overrides: Places,
    /// Print JSON with a version instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Args {
    /// The places that were named.
    pub(crate) fn overrides(&self) -> Overrides {
        self.overrides.overrides()
    }
}

/// Where things are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Places {
    /// The configuration's main file [default: /etc/groundcrew/groundcrew.toml].
    #[arg(long, global = true, value_name = "PATH", env = "GROUNDCREW_CONFIG", hide_env = false)]
    config: Option<PathBuf>,
    /// The state directory; wins over `[paths] state`.
    #[arg(long, global = true, value_name = "DIR", env = "GROUNDCREW_STATE")]
    state: Option<PathBuf>,
}

impl Places {
    /// As the configuration wants them: absolute.
    pub(crate) fn overrides(&self) -> Overrides {
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Overrides { config: self.config.as_ref().map(whole), state: self.state.as_ref().map(whole) }
    }
}

/// How long an update is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Until the candidate's probes passed.
    #[default]
    Accepted,
    /// Until its watch passed.
    Proven,
}

/// An update that is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ask {
    /// The app.
    #[arg(add = complete::apps())]
    pub(crate) app: String,
    /// Print the plan and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait.
    #[arg(long, value_enum, default_value_t, value_name = "FOR")]
    pub(crate) wait: Wait,
    /// Only if this version is what is offered; else 4, or 2 if nobody offers it at all.
    #[arg(long, value_name = "VERSION", add = complete::versions())]
    pub(crate) version: Option<String>,
}

/// A way back by hand.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The app.
    #[arg(add = complete::apps())]
    pub(crate) app: String,
    /// A version, digest or revision [default: the release before].
    #[arg(add = complete::versions())]
    pub(crate) release: Option<String>,
    /// Leave the data as it is, or as the release that is left can make it for the older one.
    #[arg(long, conflicts_with = "restore_data")]
    pub(crate) keep_data: bool,
    /// Bring back the data of then, or with `=SNAPSHOT` this copy; what is there now is set aside.
    #[arg(long, value_name = "SNAPSHOT", num_args = 0..=1, require_equals = true, add = complete::snapshots())]
    pub(crate) restore_data: Option<Option<String>>,
    /// Go although the data cannot be undone, or the release is known as bad.
    #[arg(long)]
    pub(crate) approve: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait.
    #[arg(long, value_enum, default_value_t, value_name = "FOR")]
    pub(crate) wait: Wait,
    /// Nothing of this host: make this tag of the registry name RELEASE again, for all who follow it
    /// [default: what it named before the last promotion from here].
    #[arg(long, value_name = "CHANNEL", conflicts_with_all = ["keep_data", "restore_data", "approve"])]
    pub(crate) retag: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration and make the directories; overwrites nothing.
    Init {
        /// Write it here instead of the default place.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Look at the configuration, or apply it to an app.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Put groundcrew on this machine as a service; done twice, it changes nothing.
    Install(InstallArgs),
    /// Take the service away; configuration and data stay, apps keep running.
    Uninstall(UninstallArgs),
    /// Look after all apps until SIGTERM.
    Agent,
    /// Record flights until SIGTERM, agent alive or not.
    Recorder,
    /// Look once at every app, update what may be updated, and end.
    Once {
        /// How long to wait.
        #[arg(long, value_enum, default_value_t, value_name = "FOR")]
        wait: Wait,
    },
    /// Ask all gates about what is offered, and do nothing.
    Check {
        /// One app; all by default.
        #[arg(add = complete::apps())]
        app: Option<String>,
    },
    /// Update an app if its gates allow it.
    Update(Ask),
    /// Say how the apps are.
    Status {
        /// One app; all by default.
        #[arg(add = complete::apps())]
        app: Option<String>,
        /// Fail unless this version, revision or digest runs; of the only app unless one is named.
        #[arg(long, value_name = "REV")]
        expect: Option<String>,
    },
    /// List updates that are over, newest first.
    History {
        /// One app; all by default.
        #[arg(add = complete::apps())]
        app: Option<String>,
        /// At most so many.
        #[arg(short, default_value_t = 20, value_name = "N")]
        n: usize,
    },
    /// Stay at one version.
    Pin {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// A version or a digest.
        #[arg(add = complete::versions())]
        version: String,
    },
    /// Follow the channel again.
    Unpin {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Let a candidate through the gates that ask for a person, or call a release proven.
    Approve {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// A version or a digest.
        #[arg(add = complete::versions())]
        version: String,
    },
    /// Forget what is known as bad, and take a stuck update up again.
    Unblock {
        /// The app.
        #[arg(required_unless_present = "store", add = complete::apps())]
        app: Option<String>,
        /// Go on after the journal was lost or damaged: what runs is adopted.
        #[arg(long, conflicts_with = "app")]
        store: bool,
    },
    /// Go back to a release that ran here before; what is left is not installed again by itself.
    Rollback(Rollback),
    /// Run the migration of the release that runs, with the app stopped and a way back.
    Migrate {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// Undo it instead.
        #[arg(long)]
        down: bool,
        /// Do not ask on the terminal; a workstation without one needs it.
        #[arg(long)]
        yes: bool,
    },
    /// No updates of an app until `resume`.
    Pause {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Updates go on.
    Resume {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Start an app that was stopped by hand.
    Start {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Stop an app; it stays so until `start`.
    Stop {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Stop an app and start it.
    Restart {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
    },
    /// Print the end of an app's output.
    Logs {
        /// The app.
        #[arg(add = complete::apps())]
        app: String,
        /// So many lines.
        #[arg(short, default_value_t = 50, value_name = "N")]
        n: usize,
        /// Go on with what comes, over restarts, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
    },
    /// Look at copies of an app's data, or put one back.
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Make, check and publish release bundles.
    Bundle {
        /// What to do.
        #[command(subcommand)]
        command: BundleCommand,
    },
    /// Ask where an app's releases come from; nothing is fetched.
    Source {
        /// What to ask.
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// Make a tag of the registry name what another one names: no pull, no rebuild, no new digest.
    Promote(Promote),
    /// Look at the post-mortems that rollbacks opened, and close them.
    Postmortem {
        /// What to do.
        #[command(subcommand)]
        command: PostmortemCommand,
    },
    /// Look at what was recorded, repair it, and write it in other formats.
    Flight {
        /// What to do.
        #[command(subcommand)]
        command: FlightCommand,
    },
    /// Ask the agent whether it answers and can write its journal: 0 yes, 1 no, 64 usage.
    Healthcheck,
    /// Show what groundcrew does, on this machine, in about a minute.
    Demo(DemoArgs),
    /// Print what ties a shell's tab key to groundcrew, for `source <(…)`.
    Completions {
        /// For this shell: bash, zsh, fish, elvish or powershell.
        #[arg(value_name = "SHELL")]
        shell: String,
    },
    /// Print the manual page, or write all of them.
    Man {
        /// Write a page per command into this directory.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Keep one run of an app.
    #[command(hide = true)]
    Keep {
        /// What to run.
        spec: PathBuf,
    },
    /// The service that the demo updates.
    #[command(hide = true, disable_help_flag = true)]
    DemoApp {
        /// Its own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}
