//! Reaches whoever looks after the apps: the agent, or, without one, this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Overrides, Settings};
use crate::crew::Crew;
use crate::crew::board::View;
use crate::crew::request::{Reply, Request};
use crate::crew::socket::Line;
use crate::exit::{Exit, Refusal};

/// How long an agent that holds the lock and does not listen yet is waited for.
const STARTING: Duration = Duration::from_secs(3);
/// Pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// Whoever answers.
#[allow(missing_debug_implementations, reason = "a crew holds threads")]
pub(crate) enum Reach {
    /// The agent.
    Agent(Line),
    /// This process, for one pass.
    Alone(Arc<Crew>),
}

impl Reach {
    /// Reaches the agent, or takes its lock.
    ///
    /// # Errors
    ///
    /// `Locked`: another command is at work. Else the host failed.
    pub(crate) fn open(settings: Settings, overrides: &Overrides) -> Result<Self, Refusal> {
        let deadline = Instant::now() + STARTING;
        loop {
            if let Some(line) = Line::open(&settings.run)? {
                return Ok(Self::Agent(line));
            }
            match Crew::open(settings.clone(), overrides.clone(), "another command", false) {
                Err(refusal) if refusal.code == Exit::Locked && Instant::now() < deadline => {
                    std::thread::sleep(TRY_PAUSE);
                }
                crew => return crew.map(Self::Alone),
            }
        }
    }

    /// Reaches the agent, or looks without one: no lock is taken and nothing is written.
    ///
    /// # Errors
    ///
    /// The agent's socket or the journal is not for this user.
    pub(crate) fn open_to_read(settings: Settings, overrides: &Overrides) -> Result<Self, Refusal> {
        match Line::open(&settings.run)? {
            Some(line) => Ok(Self::Agent(line)),
            None => Crew::open_to_read(settings, overrides.clone()).map(Self::Alone),
        }
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// Why it is not done.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Reply, Refusal> {
        match self {
            Self::Agent(line) => line.ask(request),
            Self::Alone(crew) => crew.ask(request),
        }
    }

    /// How all apps are.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub(crate) fn views(&mut self) -> Result<Vec<View>, Refusal> {
        match self.ask(Request::Status)? {
            Reply::Status { apps } => Ok(apps),
            other => Err(unexpected(&other)),
        }
    }

    /// How one app is.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub(crate) fn view(&mut self, app: &str) -> Result<View, Refusal> {
        let views = self.views()?;
        let found = views.into_iter().find(|view| view.app == app);
        // The command line has looked into the configuration as it is now.
        found.ok_or_else(|| {
            Refusal::usage(format!(
                "the agent does not look after {app:?}: it was added after the agent began\n  \
                 → end that agent and start another, with systemd: systemctl restart groundcrew"
            ))
        })
    }

    /// The agent does it; this process may go away.
    pub(crate) fn is_agent(&self) -> bool {
        matches!(self, Self::Agent(_))
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Self::Alone(crew) = self {
            crew.end_pass();
        }
    }
}

/// An answer of another kind than asked for.
pub(crate) fn unexpected(reply: &Reply) -> Refusal {
    Refusal::failed(format!("the agent answered something else: {reply:?}"))
}
