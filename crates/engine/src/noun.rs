//! The nouns of the glossary that every other module speaks: apps, releases, digests, moments.
//!
//! Everything here is written to the journal, so a change of shape is a change of the disk format:
//! new fields are optional, and `fixtures/` holds a journal of every released shape.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::Ordered;

macro_rules! text_newtype {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )*};
}

text_newtype! {
    /// The name of an app, as its table in the configuration is called.
    AppName;
    /// Names the content of a release: `sha256:` and 64 hex digits.
    Digest;
    /// Names the configuration that an app is deployed with. A candidate is a digest *and* this.
    ConfigHash;
    /// Names one update of its app on this host, for ever; two apps may have the same.
    TxnId;
    /// Names a saved copy of an app's volumes; holding one is proof that the copy was complete.
    SnapshotId;
    /// The kernel's boot id: two moments with the same one share an uptime clock.
    BootId;
    /// A volume's name in the configuration.
    VolumeName;
    /// A probe's name in messages and in the plan.
    ProbeName;
}

/// One deployable version of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The version as the publisher wrote it.
    pub version: String,
    /// Names the content.
    pub digest: Digest,
    /// The commit it was built from, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// When it was published, in milliseconds since 1970, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_ms: Option<i64>,
    /// The generation of its data; a change means that older releases cannot read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_epoch: Option<u64>,
    /// The oldest version that can read this release's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_compatible_from: Option<String>,
    /// What must run on the data before this release starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

/// A release's own change to the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The release also brings the command that undoes it.
    pub reversible: bool,
    /// After this long it counts as failed.
    pub timeout_ms: u64,
}

/// How a candidate came to be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The channel points at it.
    Channel,
    /// A person pinned it.
    Pin,
    /// The release is the same; its configuration changed.
    Configuration,
    /// A person goes back to a release that ran here (UPD-25).
    Rollback,
    /// A person runs the migration of the release that runs (UPD-5).
    Migration,
}

/// A release that a check found and that is not the one running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What is offered.
    pub release: Release,
    /// The configuration it would run with.
    pub config: ConfigHash,
    /// Why it is offered.
    pub via: Via,
    /// The channel's serial number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// When this host saw it first, in milliseconds since 1970.
    pub first_seen_ms: i64,
    /// A person ordered it; no source offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Box<Ordered>>,
}

impl Offer {
    /// Whether both offers would put the same thing in place.
    #[must_use]
    pub fn is_same_candidate(&self, other: &Self) -> bool {
        self.release.digest == other.release.digest && self.config == other.config
    }
}

/// An instant as this host knows it.
///
/// Wall time is for people and windows. What is measured is measured in uptime, because a wall
/// clock can be stepped (WCH-16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    /// Milliseconds since this boot.
    pub uptime_ms: u64,
    /// Which boot.
    pub boot: BootId,
    /// The wall clock is known to be right.
    pub synchronized: bool,
}

impl TxnId {
    /// A name that this host never used before: no two moments share wall clock, boot and uptime.
    #[must_use]
    pub fn at(now: &Now) -> Self {
        let boot: String = now.boot.0.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
        Self(format!("{:x}-{boot}-{:x}", now.wall_ms.max(0), now.uptime_ms))
    }
}

/// What went wrong with an effect, and whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Decides what happens next.
    pub kind: FaultKind,
    /// The whole chain of causes, for people.
    pub text: String,
}

/// Whose fault a failure is. The machine decides by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The release is to blame: it goes back and is known as bad.
    Candidate,
    /// The host is to blame (full disk, I/O error): it goes back and is tried again later.
    Host,
    /// The thing offered must not be taken: wrong digest, bad signature. A person decides.
    Refused,
    /// Somebody else is to blame and it may pass: a network, a registry.
    Elsewhere,
}

impl Fault {
    /// A fault of the release.
    #[must_use]
    pub fn candidate(text: impl Into<String>) -> Self {
        Self { kind: FaultKind::Candidate, text: text.into() }
    }

    /// A fault of the host.
    #[must_use]
    pub fn host(text: impl Into<String>) -> Self {
        Self { kind: FaultKind::Host, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
