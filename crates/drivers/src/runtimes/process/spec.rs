//! From an order to what a keeper is told.

use std::path::Path;
use std::time::Duration;

use groundcrew_engine::noun::AppName;
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::{CommandOrder, Purpose, StartOrder};
use serde::Deserialize as _;

use super::error::Error;
use crate::keeper::spec::{KeepSpec, Kind, Stop, StopSignal};
use crate::runtimes::launch::{self, Launch, Names};
use crate::runtimes::secrets::Secrets;
use crate::runtimes::shelf::Shelved;

/// A run of the app itself.
pub(super) fn app(
    app: &AppName,
    order: &StartOrder<'_>,
    shelved: &Shelved,
    secrets: &Secrets,
    seq: u64,
) -> Result<KeepSpec, Error> {
    let words = &shelved.says.run.command;
    let mut spec = base(app, order.installed, shelved, secrets, words)?;
    (spec.txn, spec.attempt, spec.seq) = (order.txn.to_string(), order.run.to_owned(), seq);
    let stop = &order.installed.procedure.stop;
    spec.stop = Stop::new(signal(&stop.signal)?, Duration::from_millis(stop.grace_ms));
    Ok(spec)
}

/// A run of a migration or a hook.
pub(super) fn command(
    app: &AppName,
    order: &CommandOrder<'_>,
    shelved: &Shelved,
    secrets: &Secrets,
    attempt: &str,
) -> Result<KeepSpec, Error> {
    let none = || Error::NoMigration { version: shelved.says.version.clone() };
    let migrate = || shelved.says.migrate.as_ref().ok_or_else(none);
    let (kind, words) = match &order.purpose {
        Purpose::Migrate => (Kind::Migration, &migrate()?.up),
        Purpose::Undo => (Kind::Migration, migrate()?.down.as_ref().ok_or_else(none)?),
        Purpose::Hook(words) => (Kind::Hook, words),
    };
    let mut spec = base(app, order.installed, shelved, secrets, words)?;
    (spec.txn, spec.attempt) = (order.txn.to_string(), attempt.to_owned());
    // What a command leaves behind ends with it.
    (spec.kind, spec.stray_grace_ms) = (kind, 0);
    Ok(spec)
}

fn base(
    app: &AppName,
    installed: &Installed,
    shelved: &Shelved,
    secrets: &Secrets,
    words: &[String],
) -> Result<KeepSpec, Error> {
    let launch = Launch::read(&installed.procedure.launch)?;
    let files: &Path = &shelved.files;
    let names = Names { app: app.as_str(), files, volumes: &installed.procedure.volumes, secrets };
    let argv = launch::command(words, &names)?;
    let release = &installed.release;
    let mut spec = KeepSpec::new(app.as_str(), "", "", release.digest.as_str(), argv, files);
    spec.env = launch.env(secrets)?;
    spec.env.insert("GROUNDCREW_RELEASE".to_owned(), release.version.clone());
    spec.user = launch.user();
    spec.limits = launch.limits()?;
    spec.log = launch.log();
    Ok(spec)
}

/// The signal with this name, as `SIGTERM`.
pub(super) fn signal(name: &str) -> Result<StopSignal, Error> {
    StopSignal::deserialize(serde_json::Value::String(name.to_owned()))
        .map_err(|_| Error::Signal { name: name.to_owned() })
}
