//! A real machine to break things on: a host in a directory, apps on it, and the truth from outside.
//!
//! The program under test is run by its path; nothing here links it or knows its insides. What is
//! read is what a person can read: answers of the app, output of commands, files, `/proc`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`host`] | a host: configuration, releases, commands, the agent |
//! | [`hold`] | holds an agent still in a phase of its update |
//! | [`subject`] | what an app must offer to be broken here |
//! | [`ledger`], [`postgres`] | the demo app, and a real database, as such apps |
//! | [`client`] | a client that writes all along and remembers what was acknowledged |
//! | [`truth`], [`procs`], [`files`] | what must be so when nothing is under way |
//! | [`soak`] | kills and power cuts at random instants of real updates |
//! | [`mod@bench`] | figures of updates beside those of peers |
//! | [`disks`] | file systems of our own, and a power cut for them |
//! | [`journal`] | the journal, read as a person would |
//! | [`http`], [`random`] | one question over HTTP; chance from a seed |

pub mod bench;
pub mod client;
pub mod disks;
pub mod files;
pub mod hold;
pub mod host;
pub mod http;
pub mod journal;
pub mod ledger;
pub mod postgres;
pub mod procs;
pub mod random;
pub mod soak;
pub mod subject;
pub mod truth;

/// What goes wrong with the rig itself, for people.
pub type Result<T> = anyhow::Result<T>;
