//! The contract of a source, and what is particular to directories: sticks that are pulled out,
//! damage on either side, pins (SRC-5), signatures (SRC-4), clean-up that removes nothing it should not.

use std::fs;

use groundcrew_engine::ports::{Silent, source};

use super::*;
use crate::bundle::tests::{Dir, Signer, names, pack, put, set_mode};
use crate::bundle::{Channel, Content, FileToWrite, ReleaseToml, write, write_channel};

struct Rig {
    dir: Dir,
    source: DirectorySource,
}

impl Rig {
    fn new() -> Rig {
        let dir = Dir::new();
        let source = DirectorySource::new(Settings {
            root: dir.path("stick"),
            app: "tiles".to_owned(),
            channel: "stable".to_owned(),
            minisign_key: None,
            state: dir.path("state"),
            platform: host_platform(),
        });
        Rig { dir, source }
    }

    fn bundle(&self, version: &str) -> PathBuf {
        self.dir.path("stick/tiles").join(version)
    }

    /// Publishes a release and moves the channel.
    fn publish(&self, release: &ReleaseToml) -> Digest {
        let program = format!("#!/bin/sh\necho {}\n", release.version);
        let content = Content::Bytes(program.as_bytes());
        let files = [FileToWrite { path: "bin/tiles", content, executable: true }];
        let bytes = format!("# {}\n", release.version).into_bytes();
        let notes = [NoteFile { version: release.version.clone(), bytes }];
        let digest = write(&self.bundle(&release.version), release, &files, &notes).unwrap();
        self.point(&release.version, &digest);
        Digest(digest.as_str().to_owned())
    }

    fn point(&self, version: &str, digest: &Sha256) {
        let (version, digest) = (version.to_owned(), digest.clone());
        let channel = Channel { version, digest, serial: Some(7), signed: false };
        write_channel(&self.dir.path("stick"), "tiles", "stable", &channel).unwrap();
    }

    fn find(&mut self, follow: &Follow) -> Result<Option<Digest>, SourceErrorKind> {
        let found = self.source.find(follow).map_err(|error| error.kind)?;
        Ok(found.map(|found| found.release.digest))
    }

    fn pin(&mut self, to: &str) -> Result<Option<Digest>, SourceErrorKind> {
        self.find(&Follow::Pin(to.to_owned()))
    }

    fn fetch(&mut self) -> Result<Release, SourceError> {
        let found = self.source.find(&Follow::Channel).unwrap().unwrap();
        self.source.fetch(&found.release, &mut Silent)
    }
}

fn release(version: &str) -> ReleaseToml {
    ReleaseToml::draft("tiles", version, vec!["bin/tiles".to_owned()])
}

#[test]
fn directory_keeps_the_contract_of_a_source() {
    let mut rig = Rig::new();
    rig.publish(&release("1.0.0"));
    source::contract(&mut rig.source);
}

#[test]
fn an_archive_keeps_the_contract_of_a_source() {
    let mut rig = Rig::new();
    rig.publish(&release("1.0.0"));
    let bundle = rig.bundle("1.0.0");
    pack(&bundle);
    fs::remove_dir_all(bundle).unwrap();
    source::contract(&mut rig.source);
}

#[test]
fn a_source_that_is_not_there_is_no_empty_channel() {
    let mut rig = Rig::new();
    assert_eq!(rig.find(&Follow::Channel), Err(SourceErrorKind::Retry));
    assert_eq!(rig.pin("1.0.0"), Err(SourceErrorKind::Retry));
    fs::create_dir_all(rig.dir.path("stick/tiles")).unwrap();
    assert_eq!(rig.find(&Follow::Channel), Ok(None));
    assert_eq!(rig.pin("1.0.0"), Ok(None));
    // The channel came before its bundle.
    rig.point("1.0.0", &Sha256::of(b"x"));
    assert_eq!(rig.find(&Follow::Channel), Err(SourceErrorKind::Retry));
}

/// SRC-4: the look finds what the channel names, so that the engine can hold it; the fetch says why.
#[test]
fn what_the_channel_does_not_name_is_found_as_named_and_not_fetched() {
    let mut rig = Rig::new();
    let says = |rig: &mut Rig, version: &str, digest: &Sha256, what: &[&str]| {
        rig.point(version, digest);
        let found = rig.source.find(&Follow::Channel).unwrap().unwrap();
        assert_eq!(found.release, named_only(version, digest));
        assert_eq!((found.serial, found.notes), (Some(7), None));
        let error = rig.source.fetch(&found.release, &mut Silent).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Refuse);
        let bundle = rig.bundle(version).display().to_string();
        for part in what.iter().copied().chain([bundle.as_str()]) {
            assert!(error.text.contains(part), "{part}: {error}");
        }
        assert!(!rig.dir.path("state").exists());
    };
    let there = rig.publish(&release("1.0.0"));
    let another = Sha256::of(b"another");
    let way_out = "complete the bundle or publish it again, then `groundcrew unblock tiles`";
    let both = ["release.toml: the digest is", there.as_str(), another.as_str(), way_out];
    says(&mut rig, "1.0.0", &another, &both);
    let misnamed = rig.bundle("2.0.0");
    fs::create_dir_all(&misnamed).unwrap();
    fs::copy(rig.bundle("1.0.0").join("release.toml"), misnamed.join("release.toml")).unwrap();
    let digest = Sha256::of(&fs::read(misnamed.join("release.toml")).unwrap());
    says(&mut rig, "2.0.0", &digest, &["is version 1.0.0 and lies under the name 2.0.0"]);
    put(&misnamed.join("release.toml"), b"schema = 2");
    says(&mut rig, "2.0.0", &digest, &["has schema 2", way_out]);
}

/// SRC-5: a version, a digest or a revision beats the channel.
#[test]
fn a_pin_is_a_version_a_digest_or_a_revision() {
    let mut rig = Rig::new();
    let revision = |text: &str| Some(text.to_owned());
    let one = rig.publish(&ReleaseToml { revision: revision("abcdef0123"), ..release("1.0.0") });
    let two = rig.publish(&ReleaseToml { revision: revision("abcdef0456"), ..release("2.0.0") });
    let named = rig.publish(&ReleaseToml { revision: revision("2.0.0"), ..release("3.0.0") });
    assert_eq!(rig.pin("1.0.0"), Ok(Some(one.clone())));
    assert_eq!(rig.pin(two.as_str()), Ok(Some(two.clone())));
    assert_eq!(rig.pin("abcdef0456"), Ok(Some(two.clone())));
    assert_eq!(rig.pin("abcdef04"), Ok(Some(two.clone())));
    assert_eq!(rig.pin("abcdef"), Ok(None), "six characters are too few");
    assert_eq!(rig.pin("2.0.0"), Ok(Some(two)), "a version comes before a revision");
    rig.publish(&ReleaseToml { revision: revision("abcdef0123"), ..release("1.0.1") });
    let error = rig.source.find(&Follow::Pin("abcdef0".to_owned())).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Refuse);
    assert!(error.text.contains("1.0.0 (sha256:") && error.text.contains("1.0.1"), "{error}");
    // A bundle that cannot be read may be the one that is meant.
    put(&rig.bundle("9.9.9").join("release.toml"), b"schema = ");
    assert_eq!(rig.pin(named.as_str()), Ok(Some(named)));
    assert_eq!(rig.pin("nobody"), Err(SourceErrorKind::Refuse));
}

#[test]
fn a_fetched_release_can_be_pinned_and_verified_without_the_source() {
    let mut rig = Rig::new();
    let digest = rig.publish(&ReleaseToml { migrate: None, ..release("1.0.0") });
    let fetched = rig.fetch().unwrap();
    fs::remove_dir_all(rig.dir.path("stick")).unwrap();
    for pin in ["1.0.0", digest.as_str()] {
        assert_eq!(rig.pin(pin), Ok(Some(digest.clone())));
    }
    assert_eq!(rig.source.fetch(&fetched, &mut Silent), Ok(fetched.clone()));
    rig.source.verify(&digest).unwrap();
    assert_eq!(rig.source.notes(&digest).unwrap()[0].bytes, b"# 1.0.0\n");
    assert_eq!(rig.source.description(&digest).unwrap().run.command, ["bin/tiles"]);
    let dir = rig.source.dir(&digest);
    assert!(!dir.to_str().unwrap().contains(':') && dir.join("files/bin/tiles").is_file());
}

#[test]
fn another_platform_is_refused_and_nothing_is_made() {
    let mut rig = Rig::new();
    rig.publish(&ReleaseToml { platform: "vax-vms".to_owned(), ..release("1.0.0") });
    let error = rig.fetch().unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Refuse);
    assert!(error.text.contains("is for vax-vms, this host is"), "{error}");
    assert!(!rig.dir.path("state").exists());
}

#[test]
fn damage_in_the_source_is_refused_and_damage_here_is_repaired() {
    let mut rig = Rig::new();
    let digest = rig.publish(&release("1.0.0"));
    let program = rig.bundle("1.0.0").join("files/bin/tiles");
    let whole = fs::read(&program).unwrap();
    put(&program, b"#!/bin/false\n");
    assert_eq!(rig.fetch().unwrap_err().kind, SourceErrorKind::Refuse);
    assert_eq!(rig.source.verify(&digest).unwrap_err().kind, SourceErrorKind::Refuse);
    put(&program, &whole);
    set_mode(&program, 0o755);
    rig.fetch().unwrap();
    let here = rig.source.dir(&digest).join("files/bin/tiles");
    set_mode(&here, 0o755);
    put(&here, b"#!/bin/false\n");
    assert_eq!(rig.source.verify(&digest).unwrap_err().kind, SourceErrorKind::Refuse);
    rig.fetch().unwrap();
    assert_eq!(fs::read(&here).unwrap(), whole);
    rig.source.verify(&digest).unwrap();
    assert_eq!(names(&rig.source.releases()).len(), 1);
}

/// A copy to the source may be under way; nobody who reads of it knows our directories.
#[test]
fn a_bundle_that_is_not_whole_is_named_by_its_own_path() {
    let mut rig = Rig::new();
    rig.publish(&release("1.0.0"));
    let bundle = rig.bundle("1.0.0");
    fs::remove_file(bundle.join("files/bin/tiles")).unwrap();
    let check = |rig: &mut Rig, files: PathBuf| {
        let error = rig.fetch().unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Refuse);
        let begins = format!("{}: the content is sha256:", files.display());
        assert!(error.text.starts_with(&begins), "{error}");
        assert!(error.text.ends_with("then `groundcrew unblock tiles`"), "{error}");
        assert!(!error.text.contains("partial"), "{error}");
    };
    check(&mut rig, bundle.join("files"));
    let archive = pack(&bundle);
    fs::remove_dir_all(&bundle).unwrap();
    check(&mut rig, archive.join("files"));
}

/// SRC-4: a signature where the app asks for one, before anything is unpacked.
#[test]
fn with_a_key_only_signed_releases_are_fetched() {
    let mut rig = Rig::new();
    let digest = rig.publish(&release("1.0.0"));
    let signer = Signer::new(rig.dir.path("keys"));
    rig.source.settings.minisign_key = Some(signer.dir.join("nothing"));
    let error = rig.source.find(&Follow::Channel).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Host, "a key that is not there is never left out");
    rig.source.settings.minisign_key = Some(signer.dir.join("key.pub"));
    let error = rig.fetch().unwrap_err();
    assert!(error.text.contains("there is none"), "{error}");
    assert_eq!(error.kind, SourceErrorKind::Refuse);
    assert!(!rig.dir.path("state").exists());
    signer.sign(&rig.bundle("1.0.0").join("release.toml"));
    rig.fetch().unwrap();
    rig.fetch().unwrap();
    let other = Signer::new(rig.dir.path("other"));
    rig.source.settings.minisign_key = Some(other.dir.join("key.pub"));
    assert_eq!(rig.fetch().unwrap_err().kind, SourceErrorKind::Refuse);
    rig.source.verify(&digest).expect("a new key does not take the way back away");
}

#[test]
fn with_a_key_an_unsigned_channel_has_the_serial_0() {
    let mut rig = Rig::new();
    rig.publish(&release("1.0.0"));
    let serial =
        |rig: &mut Rig| rig.source.find(&Follow::Channel).map(|found| found.unwrap().serial);
    assert_eq!(serial(&mut rig), Ok(Some(7)));
    let signer = Signer::new(rig.dir.path("keys"));
    rig.source.settings.minisign_key = Some(signer.dir.join("key.pub"));
    assert_eq!(serial(&mut rig), Ok(Some(0)));
    let path = rig.dir.path("stick/tiles/channels/stable.toml");
    signer.sign(&path);
    assert_eq!(serial(&mut rig), Ok(Some(7)));
    let text = fs::read_to_string(&path).unwrap().replace('7', "8");
    put(&path, text.as_bytes());
    assert_eq!(serial(&mut rig).unwrap_err().kind, SourceErrorKind::Refuse);
}

#[test]
fn clean_up_keeps_the_set_and_strangers_and_removes_what_is_unfinished() {
    let mut rig = Rig::new();
    let one = rig.publish(&release("1.0.0"));
    rig.fetch().unwrap();
    let two = rig.publish(&release("2.0.0"));
    rig.fetch().unwrap();
    let dir = rig.source.releases();
    for name in ["sha256-0.partial", "x.fresh.partial", "a-stranger"] {
        put(&dir.join(name).join("file"), b"");
    }
    let mut set = KeepSet::default();
    set.releases.insert(two.clone());
    assert_eq!(rig.source.keep(&set), Ok(vec![one]));
    let kept = rig.source.dir(&two).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(&dir), ["a-stranger".to_owned(), kept]);
    rig.source.verify(&two).unwrap();
}

#[test]
fn clean_up_removes_nothing_if_listing_fails_and_goes_on_if_one_removal_fails() {
    let mut rig = Rig::new();
    let set = KeepSet::default();
    assert_eq!(rig.source.keep(&set), Ok(vec![]), "nothing was ever fetched");
    put(&rig.dir.path("state/releases/tiles"), b"a file");
    assert_eq!(rig.source.keep(&set).unwrap_err().kind, SourceErrorKind::Host);
    fs::remove_file(rig.dir.path("state/releases/tiles")).unwrap();
    rig.publish(&release("1.0.0"));
    rig.fetch().unwrap();
    let busy = rig.source.releases().join("a.partial/mount");
    fs::create_dir_all(&busy).unwrap();
    let mut mount = std::process::Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "none"]).arg(&busy).status();
    assert!(mounted.unwrap().success(), "these tests mount: run as root");
    let result = rig.source.keep(&set);
    assert!(std::process::Command::new("umount").arg(&busy).status().unwrap().success());
    assert_eq!(result.unwrap_err().kind, SourceErrorKind::Host);
    assert_eq!(names(&rig.source.releases()), ["a.partial"], "the rest was removed");
    assert_eq!(rig.source.keep(&set), Ok(vec![]));
    assert_eq!(names(&rig.source.releases()), [""; 0]);
}
