//! Which app a command is about, so that a wrong name is told before anything is asked.

use super::args::{Command, ConfigCommand, SnapshotCommand, SourceCommand};

impl Command {
    /// It only looks, and has nothing to look at without a state directory.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::History { .. }
            | Self::Postmortem { .. }
            | Self::Check { .. } => true,
            Self::Update(ask) => ask.dry_run,
            Self::Rollback(ask) => ask.dry_run,
            Self::Logs { follow, .. } => !follow,
            Self::Snapshot { command } => !matches!(command, SnapshotCommand::Restore { .. }),
            _ => false,
        }
    }

    /// The app that it is about, if it is about one that has to be configured.
    pub(crate) fn app(&self) -> Option<&str> {
        match self {
            Self::Check { app } | Self::Status { app, .. } | Self::History { app, .. } => {
                app.as_deref()
            }
            Self::Unblock { app, .. } => app.as_deref(),
            Self::Update(ask) | Self::Config { command: ConfigCommand::Apply(ask) } => {
                Some(&ask.app)
            }
            Self::Pin { app, .. }
            | Self::Unpin { app }
            | Self::Approve { app, .. }
            | Self::Pause { app }
            | Self::Resume { app }
            | Self::Start { app }
            | Self::Stop { app }
            | Self::Restart { app }
            | Self::Migrate { app, .. }
            | Self::Logs { app, .. } => Some(app),
            Self::Rollback(back) => Some(&back.app),
            Self::Promote(ask) => Some(&ask.app),
            Self::Source {
                command: SourceCommand::Check { app } | SourceCommand::Tags { app },
            } => Some(app),
            Self::Snapshot { command } => match command {
                SnapshotCommand::List { app }
                | SnapshotCommand::Verify { app, .. }
                | SnapshotCommand::Restore { app, .. } => Some(app),
            },
            _ => None,
        }
    }
}
