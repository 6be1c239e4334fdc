//! What `release.toml`, channels and signatures say, and how wrong ones are refused.

use std::time::Duration;

use super::*;
use crate::bundle::{ReleaseToml, read_channel, versions};

fn read(text: &str) -> Result<ReleaseToml, Error> {
    ReleaseToml::parse(Path::new("release.toml"), text.as_bytes())
}

#[test]
fn a_release_is_read_with_all_that_it_says() {
    let release = read(&release_toml(&Sha256::of(b""))).unwrap();
    assert_eq!((release.app.as_str(), release.version.as_str()), ("tiles", "1.1.0"));
    assert_eq!(release.published.unwrap().to_string(), "2026-11-21T10:00:00Z");
    assert_eq!(release.data_epoch, Some(3));
    assert_eq!(release.run.command.len(), 5);
    let migrate = release.migrate.clone().unwrap();
    assert_eq!(migrate.timeout, Duration::from_secs(600));
    assert_eq!(migrate.down, None);
    assert!(release.fits("x86_64-linux") && !release.fits("aarch64-linux"));
    let least = format!(
        "schema = 1\napp = \"a\"\nversion = \"1\"\nplatform = \"any\"\ncontent = \"{}\"\n\
         [run]\ncommand = [\"x\"]\n",
        Sha256::of(b"")
    );
    assert!(read(&least).unwrap().fits("aarch64-linux"));
}

#[test]
fn a_wrong_release_is_refused_with_its_line_and_column() {
    let good = release_toml(&Sha256::of(b""));
    for (from, to, expected) in [
        ("schema = 1", "schema = 2", "release.toml has schema 2, this groundcrew reads schema 1"),
        ("schema = 1", "", "release.toml:1:1: missing field `schema`"),
        ("app = \"tiles\"", "app = \"../tiles\"", "release.toml:2:7: \"../tiles\" has to be"),
        ("\"1.1.0\"", "\"1/1\"", "release.toml:3:11: \"1/1\" has to be"),
        ("10:00:00Z", "10:00:00", "release.toml:5:13: 2026-11-21T10:00:00 has to be a date"),
        ("platform =", "platfrom =", "release.toml:6:1: unknown field `platfrom`"),
        ("data_epoch = 3", "data_epoch = -3", "release.toml:7:14: invalid value"),
        ("sha256:", "sha512:", "release.toml:9:11: \"sha512:"),
        ("\"notes/\"", "\"docs/\"", "release.toml:10:9: \"docs/\" has to be `notes/`"),
        ("[\"bin/tiles\", \"migrate\"]", "[]", "release.toml:16:6: a command is"),
        ("\"10m\"", "\"10 minutes\"", "release.toml:17:11: \"10 minutes\" has to be"),
        ("\"10m\"", "\"0s\"", "release.toml:17:11: \"0s\" has to be"),
        ("\"10m\"", "\"8d\"", "release.toml:17:11: \"8d\" has to be"),
        ("[migrate]", "[migrate]\nx = 1", "release.toml:16:1: unknown field `x`"),
        ("[run]", "[run", "release.toml:12:5: "),
    ] {
        assert!(good.contains(from), "{from}");
        let error = read(&good.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().starts_with(expected), "{error}\nexpected {expected}");
    }
    let error = ReleaseToml::parse(Path::new("x"), b"schema = 1\nab\xff").unwrap_err();
    assert_eq!(error.to_string(), "x:2:3: this is not UTF-8");
}

#[test]
fn a_directory_and_an_archive_have_the_same_head() {
    let dir = Dir::new();
    let signer = Signer::new(dir.path("keys"));
    let bundle = make_bundle(&dir.path("source"));
    signer.sign(&bundle.join("release.toml"));
    let archive = pack(&bundle);
    let found = Bundle::find(&dir.path("source"), "tiles", "1.1.0").unwrap();
    assert_eq!(found, Bundle::Directory(bundle.clone()));
    let head = found.head().unwrap();
    assert_eq!(head.digest, digest_of(&bundle));
    assert!(head.signature.is_some());
    fs::remove_dir_all(&bundle).unwrap();
    let found = Bundle::find(&dir.path("source"), "tiles", "1.1.0").unwrap();
    assert_eq!(found, Bundle::Archive(archive.clone()));
    assert_eq!(found.head().unwrap(), head);
    assert_eq!(versions(&dir.path("source"), "tiles").unwrap(), ["1.1.0"]);
    fs::remove_file(&archive).unwrap();
    let missing = Bundle::find(&dir.path("source"), "tiles", "1.1.0").unwrap_err();
    assert_eq!(missing.kind(), Kind::Unreachable);
    let error = Bundle::find(&dir.path("source"), "tiles", "../1.1.0").unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
}

#[test]
fn an_archive_has_to_begin_with_release_toml() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("files", bundle.join("files")).unwrap();
    builder.append_path_with_name(bundle.join("release.toml"), "release.toml").unwrap();
    let path = dir.path("late.tar.zst");
    put(&path, &zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap());
    let error = Bundle::at(&path).head().unwrap_err();
    assert!(error.to_string().contains("first entry"), "{error}");
}

#[test]
fn the_command_in_the_error_makes_an_archive_that_is_taken() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    for entries in
        [vec!["release.toml", "files", "notes"], vec!["./release.toml", "./files", "./notes"]]
    {
        let path = dir.path("by-hand.tar.zst");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&bundle).arg("-cf").arg("-").args(&entries);
        let tar = tar_output(&mut tar);
        put(&path, &zstd::encode_all(tar.as_slice(), 1).unwrap());
        let destination = dir.path("releases/by-hand");
        unpack_to(&path, &destination, &digest, None).unwrap();
        durable::remove_tree(&destination, Site::Prune).unwrap();
    }
}

fn tar_output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_channel_says_where_it_points_and_whether_that_is_signed() {
    let dir = Dir::new();
    let root = dir.path("source");
    let signer = Signer::new(dir.path("keys"));
    let path = root.join("tiles/channels/stable.toml");
    let digest = Sha256::of(b"x");
    assert_eq!(read_channel(&root, "tiles", "stable", None).unwrap(), None);
    put(&path, format!("version = \"1.1.0\"\ndigest = \"{digest}\"\nserial = 7\n").as_bytes());
    let key = Some(&signer.key);
    let channel = read_channel(&root, "tiles", "stable", key).unwrap().unwrap();
    assert_eq!((channel.version.as_str(), channel.serial), ("1.1.0", Some(7)));
    assert!(channel.digest == digest && !channel.signed);
    signer.sign(&path);
    assert!(read_channel(&root, "tiles", "stable", key).unwrap().unwrap().signed);
    assert!(!read_channel(&root, "tiles", "stable", None).unwrap().unwrap().signed);
    put(&path, format!("version = \"1.0.0\"\ndigest = \"{digest}\"\nserial = 7\n").as_bytes());
    let error = read_channel(&root, "tiles", "stable", key).unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    put(&path, format!("version = \"..\"\ndigest = \"{digest}\"\n").as_bytes());
    assert_eq!(read_channel(&root, "tiles", "stable", None).unwrap_err().kind(), Kind::Refused);
    put(&path, format!("version = \"1\"\ndigest = \"{digest}\"\nx = 1\n").as_bytes());
    let error = read_channel(&root, "tiles", "stable", None).unwrap_err();
    assert!(error.to_string().contains("stable.toml:3:1: unknown field `x`"), "{error}");
    assert!(read_channel(&root, "tiles", "../stable", None).is_err());
}
