//! What is written about the flight recorder.

use schemars::JsonSchema;
use serde::Deserialize;

/// The flight recorder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recorder {
    /// Where recordings are kept, absolute; `recordings` in the state directory by default.
    pub(crate) root: Option<String>,
}
