//! What is taken for a registry, and what is refused in which words.

use super::*;
use crate::config::{Overrides, Settings, load};

fn load_source(source: &str, mode: &str) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.toml");
    let text = format!(
        "schema = 1\n[apps.tiles]\nsource = {{ {source} }}\nruntime = {{ kind = \"process\" }}\n\
         health = {{ http = \"http://127.0.0.1:8080/health\" }}\nmode = \"{mode}\"\n"
    );
    std::io::Write::write_all(&mut fs::File::create(&main).unwrap(), text.as_bytes()).unwrap();
    let overrides = Overrides { config: Some(main), state: Some(dir.path().join("state")) };
    let prefix = format!("{}/", dir.path().display());
    load(&overrides).map_err(|problems| problems.to_string().replace(&prefix, ""))
}

fn registry_of(source: &str) -> registry::Settings {
    let settings = load_source(source, "notify").unwrap_or_else(|problems| panic!("{problems}"));
    match &settings.apps["tiles"].source {
        Source::Registry(of) => of.as_ref().clone(),
        Source::Directory(_) => panic!("{source} is a registry"),
    }
}

#[test]
fn an_image_is_followed_at_its_tag_its_channel_or_the_latest() {
    let all = [
        (
            "image = \"registry.lan:5000/team/tiles\", channel = \"10\"",
            "registry.lan:5000/team/tiles",
            "10",
        ),
        ("image = \"registry.lan/tiles:10\"", "registry.lan/tiles", "10"),
        ("image = \"registry.lan/tiles:10\", channel = \"10\"", "registry.lan/tiles", "10"),
        ("image = \"tiles\"", "docker.io/library/tiles", "latest"),
        // Cargo sets it for its tests.
        (
            "image = \"registry.lan/${CARGO_PKG_NAME}\", channel = \"v${CARGO_PKG_VERSION_MAJOR}-arm\"",
            "registry.lan/groundcrew",
            "v0-arm",
        ),
    ];
    for (source, repository, channel) in all {
        let read = registry_of(&format!("kind = \"oci\", {source}"));
        let found = (read.access.repository.to_string(), read.channel);
        assert_eq!(found, (repository.to_owned(), channel.to_owned()), "{source}");
        assert!(!read.access.plain_http && read.access.keys == Keys::Docker(None));
    }
    let read = registry_of(
        "kind = \"oci\", image = \"tiles\", platform = \"linux/arm/v7\", notes = \"referrer\", \
         pin_tag = \"{pin}-arm\", plain_http = true, username = \"joe\", password_file = \"/dev/null\"",
    );
    assert_eq!(read.platform.to_string(), "linux/arm/v7");
    assert_eq!(read.notes, Some(Notes::Referrer));
    assert!(read.access.plain_http && matches!(read.access.keys, Keys::Given { .. }));
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_its_place() {
    let image = "image = \"registry.lan/tiles\"";
    let with = |rest: &str| format!("{image}, {rest}");
    let all = [
        (
            String::new(),
            "apps.tiles.source: `image` is missing\n  help: write it as in \"registry.lan",
        ),
        (
            "image = \"https://registry.lan/x\"".to_owned(),
            "source.image: \"https://registry.lan/x\" names no image: leave the scheme out",
        ),
        ("image = \"registry.lan/Tiles\"".to_owned(), "has capital letters"),
        (format!("image = \"a@sha256:{}\"", "0".repeat(64)), "a digest never moves"),
        (
            "image = \"a:1\", channel = \"2\"".to_owned(),
            "ends with the tag \"1\", and `channel` is \"2\"",
        ),
        (with("channel = \"a b\""), "source.channel: \"a b\" is no tag"),
        (with("path = \"/srv\""), "source.path: it is of kind \"directory\"\n  help: leave it out"),
        (with("platform = \"arm\""), "source.platform: \"arm\" is no platform"),
        (with("notes = \"ftp://x\""), "source.notes: "),
        (with("pin_tag = \"arm\""), "source.pin_tag: \"arm\" is no tag with {pin}"),
        (with("cosign_key = \"/no/such\""), "source.cosign_key: cannot read \"/no/such\""),
        (with("ca = \"/dev/null\", plain_http = true"), "source.ca: no certificate is looked at"),
        (with("username = \"joe\""), "apps.tiles.source: `password_file` is missing"),
        (with("password_file = \"/dev/null\""), "apps.tiles.source: `username` is missing"),
        (with("username = \"joe:pw\", password_file = \"/dev/null\""), "a user's name has no `:`"),
        (
            "image = \"${NO_SUCH_VARIABLE}/x\"".to_owned(),
            "the environment has no variable \"NO_SUCH_VARIABLE\"",
        ),
    ];
    for (source, wanted) in all {
        let found = load_source(&format!("kind = \"oci\", {source}"), "notify").unwrap_err();
        assert!(found.contains(wanted), "{source}: {found}");
        assert!(found.contains("main.toml:3:"), "{found}");
    }
    let found = load_source("kind = \"directory\", path = \"/srv\", image = \"x\"", "auto");
    assert!(found.unwrap_err().contains("source.image: it is of kind \"oci\""));
}

/// Nothing of this release runs images, so nothing is updated to one by itself.
#[test]
fn an_image_is_told_of_and_not_waited_for_by_a_runtime_of_bundles() {
    let found = load_source("kind = \"oci\", image = \"tiles\"", "auto").unwrap_err();
    assert!(
        found.contains("apps.tiles.runtime.kind: images of a registry are not run by"),
        "{found}"
    );
    assert!(found.contains("write mode = \"notify\""), "{found}");
}
