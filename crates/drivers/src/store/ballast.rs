//! What lies beside the journal while an update is open: the plan, and room that can be freed.
//!
//! ```text
//! <state>/plans/<app>.json       the plan of the open update
//! <state>/plans/<app>.ballast    8 MiB that are given free when the disk is full
//! ```
//!
//! The ballast is really allocated: its blocks are counted after it was made, and where a file
//! system promises without giving, it is filled with bytes that do not compress.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use groundcrew_engine::plan::Plan;
use rustix::fs::FallocateFlags;

use super::{Error, Store, file_name};
use crate::durable::{self, Site};

/// Enough for some hundred entries of the largest kind and a checkpoint of the log.
pub const BALLAST_BYTES: u64 = 8 << 20;

/// What `stat` counts blocks in.
const BLOCK_BYTES: u64 = 512;

impl Store {
    fn plans(&self) -> PathBuf {
        self.dir().join("plans")
    }

    fn plan_path(&self, app: &str) -> PathBuf {
        self.plans().join(format!("{}.json", file_name(app)))
    }

    fn ballast_path(&self, app: &str) -> PathBuf {
        self.plans().join(format!("{}.ballast", file_name(app)))
    }

    /// The plan that lies beside the journal; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn plan(&self, app: &str) -> Result<Option<Plan>, Error> {
        let path = self.plan_path(app);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.map_err(|error| Error::system("read", &path, error))?;
                serde_json::from_slice(&text).map(Some).map_err(Error::json("read a plan"))
            }
        }
    }

    pub(super) fn reserve(&self, app: &str, plan: Option<&Plan>) -> Result<(), Error> {
        let Some(plan) = plan else {
            self.free_ballast(app)?;
            return self.remove(&self.plan_path(app));
        };
        durable::create_dir_all(&self.plans(), 0o700, Site::Plan)
            .map_err(Error::durable("make room for the plan"))?;
        durable::write_json(&self.plan_path(app), plan, 0o600, Site::Plan)
            .map_err(Error::durable("write the plan"))?;
        make_ballast(&self.ballast_path(app))
    }

    pub(super) fn free_ballast(&self, app: &str) -> Result<(), Error> {
        let path = self.ballast_path(app);
        self.remove(&in_making(&path))?;
        self.remove(&path)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        if !self.plans().is_dir() {
            return Ok(());
        }
        durable::remove_file(path, Site::Ballast)
            .map_err(Error::durable("remove what was reserved"))
    }
}

fn is_whole(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| {
        meta.len() == BALLAST_BYTES && meta.blocks() * BLOCK_BYTES >= BALLAST_BYTES
    })
}

/// The ballast until it is whole; one that nobody finished holds room as well.
fn in_making(path: &Path) -> PathBuf {
    path.with_extension("ballast.partial")
}

fn make_ballast(path: &Path) -> Result<(), Error> {
    if is_whole(path) {
        return Ok(());
    }
    let making = in_making(path);
    let made = fill(&making).and_then(|()| {
        durable::rename(&making, path, Site::Ballast).map_err(Error::durable("reserve room"))
    });
    if made.is_err() {
        // The first error is the one that counts; half a ballast must not keep the room.
        durable::remove_file(&making, Site::Ballast).ok();
    }
    made
}

fn fill(path: &Path) -> Result<(), Error> {
    let fail = |doing| move |error: std::io::Error| Error::system(doing, path, error);
    durable::remove_file(path, Site::Ballast).map_err(Error::durable("reserve room"))?;
    durable::step().map_err(fail("create"))?;
    let mut file = File::create_new(path).map_err(fail("create"))?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(error) => return Err(Error::system("allocate", path, error)),
    }
    if !is_whole(path) {
        write_noise(&mut file).map_err(fail("write"))?;
    }
    durable::sync_file(&file, path, Site::Ballast).map_err(Error::durable("reserve room"))
}

/// Bytes that no file system compresses or shares: a hash's output, block after block.
fn write_noise(file: &mut File) -> std::io::Result<()> {
    let mut noise = blake3::Hasher::new().update(b"ballast").finalize_xof();
    let mut chunk = vec![0; 64 * 1024];
    let mut left = BALLAST_BYTES;
    while left > 0 {
        noise.fill(&mut chunk);
        file.write_all(&chunk)?;
        left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(left));
    }
    Ok(())
}
