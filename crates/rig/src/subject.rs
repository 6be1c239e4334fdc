//! What an app must offer to be broken here: releases good and bad, and the truth from outside.

use std::path::Path;

use groundcrew_drivers::bundle::{self, Channel, Sha256};

use crate::Result;
use crate::host::Places;

/// A release to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its version; within a host no two candidates have the same.
    pub version: String,
    /// What it does, in the subject's own words: a row of its table.
    pub plays: String,
    /// Whether it should be proven in the end; else it should be rolled back.
    pub good: bool,
}

/// An app of one host.
///
/// Rows are numbers that a client makes up, each once; an acknowledged row is durable. All questions
/// are asked from outside, and none of them waits longer than a few seconds.
pub trait Subject: std::fmt::Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Its tables of the configuration, `[apps.NAME]` and below.
    fn tables(&self, places: &Places) -> String;

    /// The candidate of a round. Round 0 is the first installation and good; good and bad ones
    /// alternate from then on.
    fn candidate(&self, round: u32) -> Candidate;

    /// Writes the candidate's bundle below [`Places::releases`] and gives its digest; the channel
    /// stays where it is.
    ///
    /// # Errors
    /// It cannot be written.
    fn publish(&self, places: &Places, candidate: &Candidate) -> Result<Sha256>;

    /// The version that serves; `None` when nobody answers, or unwell.
    fn version(&self) -> Option<String>;

    /// Writes a row; `Some` with the version that acknowledged it as durable.
    fn write(&self, row: u64) -> Option<String>;

    /// All rows, as the app serves them; `None` when nobody answers.
    fn rows(&self) -> Option<Vec<u64>>;

    /// The directories that its volumes are, by the volumes' names.
    fn volumes(&self) -> Vec<(String, std::path::PathBuf)>;

    /// All rows in a copy of its data that nobody serves: a directory with one entry per volume.
    ///
    /// # Errors
    /// The copy makes no sense.
    fn rows_in(&self, copy: &Path) -> Result<Vec<u64>>;

    /// Whether a process with this command line is a copy of the app: its main process, which
    /// there must be exactly one of.
    fn is_main(&self, command_line: &[String]) -> bool;

    /// Whether a process with this command line is one of ours that asks the app.
    fn is_client(&self, _command_line: &[String]) -> bool {
        false
    }
}

/// Points the app's channel `stable` at a release that was published.
///
/// # Errors
/// The channel cannot be written.
pub fn point(places: &Places, app: &str, version: &str, digest: &Sha256) -> Result<()> {
    let channel = Channel {
        version: version.to_owned(),
        digest: digest.clone(),
        serial: None,
        signed: false,
    };
    Ok(bundle::write_channel(&places.releases(), app, "stable", &channel)?)
}
