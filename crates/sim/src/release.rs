//! Releases of the simulated app and how they behave.

use groundcrew_engine::noun::{Digest, Migration, Release};

/// A release and its behavior.
#[derive(Clone, Debug)]
pub struct SimRelease {
    /// Its version; the digest follows from it.
    pub version: &'static str,
    /// The generation of the data that it reads and writes.
    pub epoch: u64,
    /// What its migration does, if it has one.
    pub migration: Option<Migrates>,
    /// The epoch that it can bring the data back to.
    pub undoes_to: Option<u64>,
    /// What comes of that.
    pub undoing: Migrates,
    /// How it starts.
    pub starts: Starts,
    /// What its probe says.
    pub health: Health,
    /// A line of its release notes.
    pub note: &'static str,
    /// The source refuses to hand it out (bad signature).
    pub refused: bool,
    /// The oldest version that reads its data.
    pub compatible_from: Option<&'static str>,
}

/// What a migration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrates {
    /// Brings the data to the release's epoch.
    Well,
    /// Changes half of it, then fails.
    Fails,
    /// Loses rows and says that all is well.
    Damages,
}

/// How a release starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// It runs.
    Well,
    /// It ends at once.
    Exits,
    /// It runs and ends after so many ticks of its own clock.
    DiesAfter(u32),
}

/// What a release's probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is well.
    Well,
    /// It never is.
    Ill,
    /// It falls ill after so many ticks.
    IllAfter(u32),
    /// It is well, red for so many ticks once, and well again.
    Glitch(u32),
}

impl SimRelease {
    /// A release that does everything right.
    #[must_use]
    pub const fn good(version: &'static str, epoch: u64) -> Self {
        Self {
            version,
            epoch,
            migration: None,
            undoes_to: None,
            undoing: Migrates::Well,
            starts: Starts::Well,
            health: Health::Well,
            note: "Nothing to do.",
            refused: false,
            compatible_from: None,
        }
    }

    /// The same with a migration.
    #[must_use]
    pub const fn migrating(mut self, how: Migrates) -> Self {
        self.migration = Some(how);
        self
    }

    /// The same with a command that undoes the migration.
    #[must_use]
    pub const fn undoing(mut self, how: Migrates, to: u64) -> Self {
        (self.undoing, self.undoes_to) = (how, Some(to));
        self
    }

    /// The same with another start.
    #[must_use]
    pub const fn starting(mut self, how: Starts) -> Self {
        self.starts = how;
        self
    }

    /// The same with another health.
    #[must_use]
    pub const fn feeling(mut self, how: Health) -> Self {
        self.health = how;
        self
    }

    /// The same with a line in its notes.
    #[must_use]
    pub const fn noting(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// Names its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(format!("sha256:{}", self.version))
    }

    /// As the engine sees it.
    #[must_use]
    pub fn release(&self) -> Release {
        Release {
            version: self.version.to_owned(),
            digest: self.digest(),
            revision: None,
            published_ms: None,
            data_epoch: Some(self.epoch),
            data_compatible_from: self.compatible_from.map(str::to_owned),
            migration: self
                .migration
                .map(|_| Migration { reversible: self.undoes_to.is_some(), timeout_ms: 60_000 }),
        }
    }
}
