//! `bundle seal | verify | publish`: what a publisher of releases needs. It asks no agent and reads
//! no configuration, so it works on a build machine that has neither.

use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use groundcrew_drivers::bundle::{self, Bundle, Error, Head, Key};
use serde::Serialize;

use super::args::BundleCommand;
use super::print::Printer;
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Sealed {
    app: String,
    version: String,
    digest: String,
    changed: Vec<&'static str>,
    stale_signature: bool,
}

#[derive(Serialize)]
struct Verified {
    app: String,
    version: String,
    digest: String,
    /// `none`, `unchecked` (no key was given), `good`.
    signature: &'static str,
    comment: Option<String>,
}

#[derive(Serialize)]
struct Published {
    app: String,
    version: String,
    digest: String,
    path: PathBuf,
    was_there: bool,
    channel: String,
    serial: Option<u64>,
    /// The version that the channel pointed at before.
    before: Option<String>,
    stale_signature: bool,
}

/// Runs one of them.
pub(super) fn run(command: BundleCommand, printer: &Printer) -> Result<Exit, Refusal> {
    match command {
        BundleCommand::Seal { dir } => seal(&dir, printer),
        BundleCommand::Verify { path, minisign_key } => {
            verify(&path, minisign_key.as_deref(), printer)
        }
        BundleCommand::Publish { path, to, channel, serial } => {
            publish(&path, &to, &channel, serial, printer)
        }
    }?;
    Ok(Exit::Done)
}

/// What is not there or not written as it has to be is for whoever called us; what is not what it
/// says failed the check.
fn refuse(error: &Error, way_out: &str) -> Refusal {
    let code = match error {
        Error::Read { .. } | Error::Toml { .. } | Error::Schema { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    Refusal::new(code, format!("{}{way_out}", crate::chain(error)))
}

fn seal(dir: &Path, printer: &Printer) -> Result<(), Refusal> {
    if dir.is_file() {
        let what = "is a file; name the bundle's directory, the one that holds release.toml";
        return Err(Refusal::usage(format!("{} {what}", dir.display())));
    }
    let way_out = "; nothing was changed, correct it and seal again";
    let sealed = bundle::seal_in_place(dir).map_err(|error| refuse(&error, way_out))?;
    let shown = Sealed {
        app: sealed.release.app,
        version: sealed.release.version,
        digest: sealed.digest.to_string(),
        changed: sealed.changed,
        stale_signature: sealed.stale_signature,
    };
    printer.show(&shown, || {
        let Sealed { app, version, digest, changed, .. } = &shown;
        let path = dir.join("release.toml");
        let what = match changed.as_slice() {
            [] => "was sealed already, nothing changed".to_owned(),
            changed => format!("sealed: {} changed in {}", changed.join(" and "), path.display()),
        };
        let sign = match shown.stale_signature {
            true => {
                format!("release.toml.minisig no longer fits; minisign -S -m {}\n", path.display())
            }
            false => String::new(),
        };
        format!("{app} {version} {what}\n{digest}\n{sign}")
    });
    Ok(())
}

/// A file that is no archive is most likely one of the files of a bundle.
fn check_form(path: &Path) -> Result<(), Refusal> {
    let archive = path.to_string_lossy().ends_with(".tar.zst");
    if archive || !path.is_file() {
        return Ok(());
    }
    let what = "is neither a bundle's directory nor a .tar.zst; name the directory that holds release.toml";
    Err(Refusal::usage(format!("{} {what}", path.display())))
}

fn verify(path: &Path, key: Option<&Path>, printer: &Printer) -> Result<(), Refusal> {
    check_form(path)?;
    let key = key.map(Key::read).transpose().map_err(|error| {
        Refusal::usage(format!("{}; `minisign -G` makes a pair of keys", crate::chain(&error)))
    })?;
    let scratch = scratch()?;
    let verified = bundle::verify(&Bundle::at(path), key.as_ref(), &scratch.join("copy"));
    // It is empty, and nobody is harmed if it stays.
    drop(std::fs::remove_dir(&scratch));
    let verified = verified.map_err(|error| refuse(&error, way_out(&error)))?;
    let Head { digest, release, signature, .. } = verified.head;
    let signature = match (&verified.comment, signature) {
        (Some(_), _) => "good",
        (None, Some(_)) => "unchecked",
        (None, None) => "none",
    };
    let (app, version) = (release.app, release.version);
    let comment = verified.comment;
    let shown = Verified { app, version, digest: digest.to_string(), signature, comment };
    printer.show(&shown, || {
        let Verified { app, version, digest, signature, comment } = &shown;
        let signature = match (*signature, comment) {
            ("none", _) => "not signed".to_owned(),
            ("good", Some(comment)) => format!("the signature holds: {comment}"),
            _ => "signed, not checked: --minisign-key names the key".to_owned(),
        };
        format!("{app} {version} is whole\n{digest}\n{signature}\n")
    });
    Ok(())
}

/// A fresh directory that nobody else can look into.
fn scratch() -> Result<PathBuf, Refusal> {
    let chance = RandomState::new().hash_one(std::process::id());
    let dir = std::env::temp_dir().join(format!("groundcrew-verify-{chance:016x}"));
    std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| {
        Refusal::failed(format!(
            "cannot make {}: {error}; TMPDIR names another place",
            dir.display()
        ))
    })?;
    Ok(dir)
}

/// What helps against a bundle that is not what it says.
fn way_out(error: &Error) -> &'static str {
    match error {
        Error::Mismatch { .. } => "; `groundcrew bundle seal DIR`, if the change was meant",
        Error::Signature { .. } => "; sign it again with `minisign -S -m release.toml`",
        _ => "",
    }
}

fn publish(
    path: &Path,
    root: &Path,
    channel: &str,
    serial: Option<u64>,
    printer: &Printer,
) -> Result<(), Refusal> {
    check_form(path)?;
    let fail = |error: Error| refuse(&error, way_out(&error));
    let published = bundle::publish(&Bundle::at(path), root).map_err(fail)?;
    let moved = bundle::move_channel(root, &published, channel, serial).map_err(fail)?;
    let release = &published.head.release;
    let shown = Published {
        app: release.app.clone(),
        version: release.version.clone(),
        digest: published.head.digest.to_string(),
        path: published.at,
        was_there: published.was_there,
        channel: channel.to_owned(),
        serial: moved.to.serial,
        before: moved.from.as_ref().map(|from| from.version.clone()),
        stale_signature: moved.stale_signature,
    };
    let stays = moved.from.as_ref() == Some(&moved.to);
    printer.show(&shown, || text(&shown, stays));
    Ok(())
}

fn text(shown: &Published, stays: bool) -> String {
    let Published { app, version, path, channel, .. } = shown;
    let lies = if shown.was_there { "lay there already" } else { "was copied" };
    let moved = match (&shown.before, stays) {
        (_, true) => format!("points at {version} already"),
        (Some(before), false) => format!("went from {before} to {version}"),
        (None, false) => format!("is new and points at {version}"),
    };
    let serial = shown.serial.map_or_else(String::new, |serial| format!(", serial {serial}"));
    let sign = match shown.stale_signature {
        true => format!(
            "{channel}.toml.minisig no longer fits, and hosts that check it wait; sign the channel again\n"
        ),
        false => String::new(),
    };
    format!(
        "{app} {version} {lies}: {}\nchannel {channel} {moved}{serial}\n{}\n{sign}",
        path.display(),
        shown.digest
    )
}
