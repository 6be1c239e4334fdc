//! Channels, pins and tags of a real registry, through the port.

use std::collections::BTreeMap;

use groundcrew_drivers::bundle::Sha256;
use groundcrew_drivers::source::registry::client::PATIENCE;
use groundcrew_drivers::source::registry::reference::Reference;
use groundcrew_drivers::source::registry::{
    Access, Images, Keys, Notes, Pauses, Pull, RegistrySource, Settings, notes, platform,
};
use groundcrew_engine::noun::{Digest, Release};
use groundcrew_engine::ports::{
    Follow, Found, KeepSet, Progress, Silent, Source as _, SourceError, SourceErrorKind, source,
};

use crate::rig::{Dir, Image, Kind, Registry, pairs};
use crate::server::{Reply, Server};

/// Images that lie nowhere, for the contract.
#[derive(Default)]
pub(crate) struct Fake(pub(crate) Vec<Digest>);

impl Images for Fake {
    fn pull(&mut self, wanted: &Pull<'_>, progress: &mut dyn Progress) -> Result<(), SourceError> {
        progress.at(1, 1);
        if !self.0.contains(wanted.digest) {
            self.0.push(wanted.digest.clone());
        }
        Ok(())
    }

    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        let gone = SourceError { kind: SourceErrorKind::Refuse, text: "not here".to_owned() };
        self.0.contains(digest).then_some(()).ok_or(gone)
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        let (stay, go) = self.0.drain(..).partition(|digest| set.releases.contains(digest));
        self.0 = stay;
        Ok(go)
    }
}

/// How `tiles` of this registry is followed, with nobody's login.
pub(crate) fn settings(address: &str, channel: &str) -> Settings {
    let reference = Reference::parse(&format!("{address}/team/tiles")).unwrap();
    Settings {
        access: Access {
            repository: reference.repository,
            plain_http: true,
            ca: None,
            keys: Keys::Docker(Some("/dev/null".into())),
            patience: PATIENCE,
        },
        app: "tiles".to_owned(),
        channel: channel.to_owned(),
        pin_tag: None,
        platform: platform::Host::here(),
        revision_env: None,
        cosign_key: None,
        notes: None,
    }
}

pub(crate) fn open(settings: Settings) -> RegistrySource {
    RegistrySource::new(settings, Box::new(Fake::default()), Pauses::default())
}

pub(crate) fn release(found: Result<Option<Found>, SourceError>) -> Release {
    found.expect("the registry answers").expect("the tag is there").release
}

pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_registry_keeps_the_contract_of_a_source() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    registry.index("team/tiles", "stable", &[Image::of("1.0.0", REVISION)]);
    source::contract(&mut open(settings(&registry.address, "stable")));
}

/// SRC-1: the tag leads to the image for this host, and its labels say what it is.
#[test]
fn a_tag_is_a_release_with_version_revision_and_date() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    let foreign = Image::of("9.9.9", "other").on("plan9/vax");
    let mut ours = Image::of("1.2.3", REVISION);
    ours.annotations = pairs(&[("org.opencontainers.image.version", "1.2.4")]);
    let digest = registry.index("team/tiles", "stable", &[foreign.clone(), ours]);
    let mut source = open(settings(&registry.address, "stable"));
    let found = release(source.find(&Follow::Channel));
    assert_eq!(found.version, "1.2.4", "the annotation stands above the label");
    assert_eq!(found.digest.as_str(), digest.as_str(), "the digest is the index's");
    assert_eq!(found.revision.as_deref(), Some(REVISION));
    assert_eq!(found.published_ms, Some(1_767_323_045_000));
    let looked = source.look().unwrap();
    let image = looked.image.unwrap();
    assert_ne!(image.manifest, digest.as_str());
    assert_eq!(image.more.as_deref(), Some("https://git.lan/tiles"));
    assert!(image.bytes > 0 && looked.signed.is_none() && looked.refused.is_none());

    // An image without an index, and one that says nothing.
    let (digest, _) = registry.image("team/tiles", "stable", &Image::of("2.0.0", REVISION));
    let found = release(source.find(&Follow::Channel));
    assert_eq!((found.version.as_str(), found.digest.as_str()), ("2.0.0", digest.as_str()));
    let silent = Image { labels: BTreeMap::new(), ..Image::of("", "") };
    let stamped = Image { env: vec![format!("AZAION_REVISION={REVISION}")], ..silent };
    registry.image("team/tiles", "stable", &stamped);
    let named = Settings {
        revision_env: Some("AZAION_REVISION".to_owned()),
        ..settings(&registry.address, "stable")
    };
    let found = release(open(named).find(&Follow::Channel));
    assert_eq!(found.revision.as_deref(), Some(REVISION));
    assert_eq!(found.version, found.digest.as_str()[..19]);

    // One image for another host, and an index of them: found, so that it is held, and refused with what there is.
    registry.image("team/tiles", "stable", &foreign);
    let found = release(source.find(&Follow::Channel));
    let error = source.fetch(&found, &mut Silent).unwrap_err();
    assert!(error.text.contains("it is for plan9/vax, this host is linux/"), "{error}");
    assert_ne!(found.version, "9.9.9", "what it says is not believed");
    let digest = registry.index("team/tiles", "stable", &[foreign]);
    let found = release(source.find(&Follow::Channel));
    assert_eq!(found.digest.as_str(), digest.as_str());
    let error = source.fetch(&found, &mut Silent).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Refuse);
    for part in ["has no image for linux/", "it has: plan9/vax", "`groundcrew unblock tiles`"] {
        assert!(error.text.contains(part), "{error}");
    }
}

#[test]
fn a_tag_that_is_not_there_is_no_mistake_and_a_repository_that_is_not_there_is_one() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    registry.image("team/tiles", "other", &Image::of("1.0.0", REVISION));
    let mut source = open(settings(&registry.address, "stable"));
    assert_eq!(source.find(&Follow::Channel), Ok(None));
    registry.image("team/tiles", "stable", &Image::of("1.0.0", REVISION));
    assert_eq!(release(source.find(&Follow::Channel)).version, "1.0.0");
    let mut wrong = settings(&registry.address, "stable");
    wrong.access.repository.path = "team/tails".to_owned();
    let error = open(wrong).find(&Follow::Channel).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Retry);
    assert!(error.text.contains("has no repository team/tails; correct `image`"), "{error}");
    let gone = settings(&registry.address, "stable");
    drop(registry);
    let error = open(gone).find(&Follow::Channel).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Retry);
    assert!(error.text.contains("/v2/team/tiles/manifests/stable: no answer"), "{error}");
}

/// SRC-5: a digest, a tag, a version or a revision beats the channel.
#[test]
fn a_pin_is_a_digest_a_tag_a_version_or_a_revision() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    let name = "team/tiles";
    let (one, _) = registry.image(name, "v1.0.0", &Image::of("1.0.0", REVISION));
    let (two, _) =
        registry.image(name, "2.0.0-arm", &Image::of("2.0.0", &REVISION.replace('0', "e")));
    let (three, _) = registry.image(name, "main-fedcba9", &Image::of("3.0.0", "fedcba98"));
    let (four, _) = registry.image(name, "stable", &Image::of("4.0.0", "aaaaaaabbbb"));
    let mut settings = settings(&registry.address, "stable");
    settings.pin_tag = Some("{pin}-arm".to_owned());
    let mut source = open(settings);
    let mut pin = |to: &str| {
        let found = source.find(&Follow::Pin(to.to_owned()));
        found.map(|found| found.map(|found| found.release.digest.0)).map_err(|error| error.text)
    };
    let is = |digest: &Sha256| Ok(Some(digest.to_string()));
    assert_eq!(pin(one.as_str()), is(&one));
    assert_eq!(pin("v1.0.0"), is(&one));
    assert_eq!(pin("1.0.0"), is(&one), "the v before a version may be left out");
    assert_eq!(pin("2.0.0"), is(&two), "by the template of tags");
    assert_eq!(pin("fedcba98"), is(&three), "by the commit in a tag's name");
    assert_eq!(pin("fedcba9"), is(&three));
    assert_eq!(pin("4.0.0"), is(&four), "by what the channel names now");
    assert_eq!(pin("aaaaaaab"), is(&four));
    assert_eq!(pin("aaaaaa"), Ok(None), "six letters are too few");
    assert_eq!(pin("fedcba97"), Ok(None), "a tag's name alone is not enough");
    assert_eq!(pin(Sha256::of(b"nobody").as_str()), Ok(None));
    registry.image(name, "test-fedcba9", &Image::of("3.0.1", "fedcba98"));
    let error = pin("fedcba98").unwrap_err();
    assert!(error.contains("means several releases: main-fedcba9 (sha256:"), "{error}");
}

#[test]
fn tags_are_listed_in_the_order_of_versions_page_by_page() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    for tag in ["1.10.0", "stable", "1.9.0", "v1.2", "sha256-0.sig", "main-0123abc"] {
        registry.image("team/tiles", tag, &Image::of("1.0.0", REVISION));
    }
    let mut source = open(settings(&registry.address, "stable"));
    let tags = source.tags().unwrap();
    assert_eq!(tags.names, ["main-0123abc", "stable", "v1.2", "1.9.0", "1.10.0"]);
    assert!(!tags.cut);
    assert_eq!(source.versions().unwrap(), ["v1.2", "1.9.0", "1.10.0"]);
}

/// SRC-6: a promotion writes the manifest again under another name, and nothing else.
#[test]
fn a_tag_is_moved_without_a_new_digest_and_moved_back() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    let old = registry.index("team/tiles", "stage-arm", &[Image::of("1.0.0", REVISION)]);
    let new = registry.index("team/tiles", "dev-arm", &[Image::of("1.1.0", REVISION)]);
    let mut source = open(settings(&registry.address, "stage-arm"));
    let moved = source.retag(new.as_str(), "stage-arm").unwrap();
    assert_eq!(moved.before.as_deref(), Some(old.as_str()));
    assert_eq!(moved.digest, new.as_str());
    assert_eq!(release(source.find(&Follow::Channel)).digest.as_str(), new.as_str());
    let again = source.retag(new.as_str(), "stage-arm").unwrap();
    assert_eq!(again.before.as_deref(), Some(new.as_str()), "twice is once");
    source.retag(old.as_str(), "stage-arm").unwrap();
    assert_eq!(release(source.find(&Follow::Channel)).version, "1.0.0");
    let fresh = source.retag(new.as_str(), "prod-arm").unwrap();
    assert_eq!(fresh.before, None);
    assert_eq!(source.digest_of("prod-arm").unwrap().as_deref(), Some(new.as_str()));
    let nobody = Sha256::of(b"nobody");
    let error = source.retag(nobody.as_str(), "prod-arm").unwrap_err();
    assert!(error.text.contains("is not in the registry any more"), "{error}");
    assert!(source.retag(new.as_str(), "../x").unwrap_err().text.contains("is no tag"));
}

/// GATE-3 reads them: an artifact that refers to the image, under the tag of registries without
/// referrers.
#[test]
fn notes_are_read_from_what_refers_to_the_image() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    let digest = registry.index("team/tiles", "stable", &[Image::of("1.2.0", REVISION)]);
    let mut settings = settings(&registry.address, "stable");
    settings.notes = Some(Notes::Referrer);
    let found = open(settings.clone()).find(&Follow::Channel).unwrap().unwrap();
    assert_eq!(found.notes, Some(Vec::new()), "there are none");
    let title = |name: &str| pairs(&[("org.opencontainers.image.title", name)]);
    let parts: [(&str, &[u8], _); 3] = [
        ("text/markdown", b"# 1.2.0\nBreaking.\n", title("1.2.0.md")),
        ("text/markdown", b"# 1.1.0\n", title("1.1.0.md")),
        ("text/plain", b"nothing", title("README")),
    ];
    let artifact = registry.artifact("team/tiles", "", notes::ARTIFACT, &parts);
    registry.refer("team/tiles", &digest, notes::ARTIFACT, &[artifact]);
    let mut source = open(settings);
    let found = source.find(&Follow::Channel).unwrap().unwrap();
    let read = found.notes.unwrap();
    let versions: Vec<&str> = read.iter().map(|file| file.version.as_str()).collect();
    assert_eq!(versions, ["1.1.0", "1.2.0"]);
    assert_eq!(read[1].bytes, b"# 1.2.0\nBreaking.\n");
    assert_eq!(source.notes(&found.release.digest), Ok(read));
    assert!(source.tags().unwrap().names == ["stable"], "no tag of theirs is shown");
}

#[test]
fn notes_are_read_at_a_url_and_a_version_leads_nowhere_else() {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    let server = Server::new(|asked| match asked.path.as_str() {
        "/notes/1.0.0.md" => Reply::With(200, Vec::new(), b"# 1.0.0\n".to_vec()),
        "/notes/2.0.0.md" => Reply::status(500),
        _ => Reply::status(404),
    });
    let mut settings = settings(&registry.address, "stable");
    settings.notes = Some(Notes::Url(server.url("/notes/{version}.md")));
    let mut source = open(settings.clone());
    let mut found = |version: &str| {
        registry.image("team/tiles", "stable", &Image::of(version, REVISION));
        let found = source.find(&Follow::Channel).unwrap().unwrap();
        let later = source.notes(&found.release.digest);
        (found.notes.map(|notes| notes.len()), later.map(|notes| notes.len()).ok())
    };
    assert_eq!(found("1.0.0"), (Some(1), Some(1)));
    assert_eq!(found("3.0.0"), (Some(0), Some(0)), "there are none");
    assert_eq!(found("2.0.0"), (None, None), "nobody knows, so the gate waits");
    found("../../v2/x?a#b");
    let asked = server.asked();
    assert_eq!(asked.last().unwrap(), "GET /notes/%2E%2E%2F%2E%2E%2Fv2%2Fx%3Fa%23b.md");
    let before = asked.len();
    settings.notes = Some(Notes::Url(server.url("/{revision}/{tag}.md")));
    open(settings).find(&Follow::Channel).unwrap();
    let wanted = format!("GET /{REVISION}/stable.md");
    assert_eq!(server.asked().split_off(before), [wanted]);
}
