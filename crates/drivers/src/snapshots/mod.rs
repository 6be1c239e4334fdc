//! Copies of an app's data volumes, taken while the app is stopped, and the way back to them.
//!
//! Everything lives in the volume's own file system, in the volume's parent directory, so that a
//! restored tree can be exchanged with the live one in one step:
//!
//! ```text
//! <volume's parent>/.groundcrew/<app>/       ours alone, 0700
//! ├── lock                                   a kernel lock: one agent only
//! ├── snapshots/<id>.partial/                a snapshot in the making
//! ├── snapshots/<id>/                        complete, iff it has this name
//! │   ├── manifest.json                      what, of which release, root hash
//! │   ├── .entries-<n>.jsonl                 the n-th volume, entry by entry
//! │   └── <volume>/                          the copy
//! ├── restore/<txn>.partial/<volume>         a restored tree in the making
//! ├── restore/<txn>/<volume>                 verified, ready for the exchange
//! ├── restore/room.<id>                      as large as the copy, given free when it is needed
//! └── failed/<txn>/<volume>                  what the failed release left, for the post-mortem
//! ```
//!
//! [`port`] gives all this to the engine, for all volumes of an app at once; there `<txn>` is the
//! update and its round, `<txn>.<round>`.
//!
//! Invariants, with the tests that hold them:
//!
//! - A copy is the same as its source in all that [`tree`] lists
//!   (`copy_of_a_nasty_tree_is_the_same_in_the_eyes_of_somebody_else`).
//! - A snapshot is complete iff it was renamed; a take that was cut anywhere can be repeated
//!   (`take_cut_between_any_two_changes_is_repeated_to_the_same_snapshot`).
//! - An exchange compares inodes and never exchanges blindly; it can be repeated
//!   (`restore_cut_between_any_two_changes_ends_with_the_snapshot_live_and_the_failed_tree_aside`).
//!
//! Limit: whoever may rename entries of the volume's parent can put another directory in the place
//! of ours between two of our steps. Ours is checked on each entry (a real directory, our owner,
//! closed to others), so that at worst an operation fails.

mod area;
mod content;
mod error;
mod holders;
mod inode;
mod manifest;
pub mod port;
mod restore;
mod room;
pub mod row;
mod take;
mod target;
mod tree;

#[cfg(test)]
mod tests;

pub use area::{AREA_NAME, Area, Lock, check_volume, lock};
pub use error::{Error, Kind};
pub use manifest::{
    Difference, ENTRIES_MAX, Entry, EntryKind, EntryPath, FORMAT, Manifest, Remark, root_hash,
};
pub use restore::{Exchanged, Identity, Pair, build_restore, exchange, prune_failed};
pub use take::{
    Request, Snapshot, SnapshotManifest, VolumeRecord, discard, list, load, sweep, take,
    verify_snapshot,
};
pub use tree::{Progress, copy_tree, scan_tree, verify};
