//! What is written about the flight recorder.

use schemars::JsonSchema;
use serde::Deserialize;

/// The flight recorder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recorder {
    /// Where recordings are kept, absolute; `recordings` in the state directory by default.
    pub(crate) root: Option<String>,
    /// A group whose members may record: they reach the recorder's socket and its rings. Only root
    /// and the recorder's own user do by default.
    pub(crate) group: Option<String>,
    /// A record is synced to the disk at most so long after it was written, `10ms` to `10s`;
    /// `100ms` by default, so that with a disk that takes as long for a sync a power cut takes at
    /// most the last 200 ms.
    pub(crate) sync: Option<String>,
    /// A flight holds at most so much, from `16MiB`, its oldest segment makes room; `64GB` by
    /// default.
    pub(crate) flight: Option<String>,
    /// The recording outside flights holds at most so much, from `16MiB`; `256MiB` by default.
    pub(crate) standing: Option<String>,
}
