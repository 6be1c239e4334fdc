//! A real machine to break things on: a host in a directory, apps on it, and the truth from outside.
//!
//! The program under test is run by its path; nothing here links it or knows its insides. What is
//! read is what a person can read: answers of the app, output of commands, files, `/proc`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`host`] | a host: configuration, releases, commands, the agent |
//! | [`subject`] | what an app must offer to be broken here |
//! | [`ledger`] | the demo app as such an app |
//! | [`http`] | one question over HTTP |

pub mod host;
pub mod http;
pub mod ledger;
pub mod subject;

/// What goes wrong with the rig itself, for people.
pub type Result<T> = anyhow::Result<T>;
