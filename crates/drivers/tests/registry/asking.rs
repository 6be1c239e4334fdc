//! As whom and how a registry is asked: passwords, helpers, tokens, certificates, and how little a
//! look costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groundcrew_drivers::bundle::Sha256;
use groundcrew_drivers::source::registry::{Keys, Pauses, RegistrySource, Settings};
use groundcrew_engine::ports::{Follow, Source as _, SourceErrorKind};

use crate::rig::{Dir, Image, Kind, PASSWORD, Registry, put};
use crate::server::{Asked, Reply, Server};
use crate::source::{Fake, REVISION, open, release, settings};

/// A storage with one image.
fn filled() -> Dir {
    let dir = Dir::new();
    let registry = Registry::start(dir.path(), Kind::Plain);
    registry.index("team/tiles", "stable", &[Image::of("1.0.0", REVISION)]);
    dir
}

/// A docker configuration with joe's login for this registry.
fn docker_config(path: &Path, registry: &str, password: &str) -> Keys {
    let auth = STANDARD.encode(format!("joe:{password}"));
    put(path, &format!("{{\"auths\": {{\"{registry}\": {{\"auth\": \"{auth}\"}}}}}}"));
    Keys::Docker(Some(path.to_owned()))
}

#[test]
fn a_password_opens_the_registry_and_no_error_shows_it() {
    let dir = filled();
    let registry = Registry::start(dir.path(), Kind::Password);
    let ask = |keys: Keys| {
        let mut settings = settings(&registry.address, "stable");
        settings.access.keys = keys;
        let mut source = open(settings);
        source.find(&Follow::Channel).map(|found| found.unwrap().release.version)
    };
    let good = docker_config(&dir.at("good.json"), &registry.address, PASSWORD);
    assert_eq!(ask(good), Ok("1.0.0".to_owned()));
    put(&dir.at("password"), &format!("{PASSWORD}\n"));
    let given = Keys::Given { username: "joe".to_owned(), password_file: dir.at("password") };
    assert_eq!(ask(given), Ok("1.0.0".to_owned()));

    put(&dir.at("changing"), "letmein");
    let mut settings_of = settings(&registry.address, "stable");
    settings_of.access.keys =
        Keys::Given { username: "joe".to_owned(), password_file: dir.at("changing") };
    let mut source = open(settings_of);
    assert!(source.find(&Follow::Channel).is_err());
    put(&dir.at("changing"), PASSWORD);
    assert_eq!(release(source.find(&Follow::Channel)).version, "1.0.0", "it counts at once");

    let wrong = docker_config(&dir.at("wrong.json"), &registry.address, "letmein");
    let error = ask(wrong).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Retry, "the candidate is not to blame");
    let address = registry.address.as_str();
    for part in [address, "does not let us read", "401", "wrong.json", "docker login"] {
        assert!(error.text.contains(part), "{part}: {error}");
    }
    assert!(!error.text.contains("letmein"), "{error}");
    let error = ask(Keys::Docker(Some("/dev/null".into()))).unwrap_err();
    assert!(error.text.contains("/dev/null"), "{error}");
    put(&dir.at("empty.json"), "{}");
    let error = ask(Keys::Docker(Some(dir.at("empty.json")))).unwrap_err();
    for part in ["empty.json has no login for it", "`username` and `password_file`"] {
        assert!(error.text.contains(part), "{part}: {error}");
    }
}

/// Nobody is believed but the CA that is named; nothing is spoken in the clear unless that is asked
/// for, on loopback too.
#[test]
fn a_certificate_has_to_be_of_the_ca_that_is_named() {
    let dir = filled();
    let registry = Registry::start(dir.path(), Kind::Tls);
    let ask = |ca: Option<&str>, plain: bool| {
        let mut settings = settings(&registry.address, "stable");
        settings.access.plain_http = plain;
        settings.access.ca = ca.map(|name| dir.at(name));
        let found = open(settings).find(&Follow::Channel);
        found.map(|found| found.unwrap().release.version)
    };
    assert_eq!(ask(Some("ca.pem"), false), Ok("1.0.0".to_owned()));
    for ca in [None, Some("other.pem")] {
        let error = ask(ca, false).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Retry);
        assert!(error.text.contains("of a CA of your own, name that one: `ca`"), "{error}");
    }
    let error = ask(Some("host.key"), false).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Host);
    assert!(error.text.contains("there is no certificate in it"), "{error}");
    let error = ask(Some("nothing.pem"), false).unwrap_err();
    assert!(error.text.contains("cannot read") && error.text.contains("nothing.pem"), "{error}");
    assert!(ask(Some("ca.pem"), true).is_err(), "plain HTTP is spoken to it");
    drop(registry);

    let plain = Registry::start(dir.path(), Kind::Plain);
    let mut settings = settings(&plain.address, "stable");
    settings.access.plain_http = false;
    let error = open(settings).find(&Follow::Channel).unwrap_err();
    assert!(error.text.contains("`plain_http`"), "{error}");
}

/// A registry with one image that is good, for counting questions.
pub(crate) struct Small {
    manifest: Vec<u8>,
    config: Vec<u8>,
}

impl Small {
    pub(crate) fn new() -> Small {
        let host = groundcrew_drivers::source::registry::platform::Host::here();
        let config = format!(
            "{{\"os\":\"{}\",\"architecture\":\"{}\",\"config\":{{\"Labels\":\
             {{\"org.opencontainers.image.version\":\"1.0.0\"}}}}}}",
            host.os, host.architecture
        )
        .into_bytes();
        let manifest = format!(
            "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"x\",\"size\":1,\"digest\":\"{}\"}},\
             \"layers\":[]}}",
            Sha256::of(&config)
        )
        .into_bytes();
        Small { manifest, config }
    }

    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(&self.manifest)
    }

    /// As a registry answers.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let digest = self.digest().to_string();
        let etag = format!("\"{digest}\"");
        if asked.path.contains("/blobs/") {
            return Reply::With(200, Vec::new(), self.config.clone());
        }
        if !asked.path.contains("/manifests/") {
            return Reply::With(200, Vec::new(), b"{\"tags\":[]}".to_vec());
        }
        if asked.header("if-none-match") == Some(&etag) {
            return Reply::With(304, vec![("etag", etag)], Vec::new());
        }
        let kind = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let headers =
            vec![("content-type", kind), ("docker-content-digest", digest), ("etag", etag)];
        Reply::With(200, headers, self.manifest.clone())
    }
}

/// A registry that does not say the digest is asked for the manifest, and no further.
#[test]
fn a_registry_without_digests_costs_a_manifest_per_look() {
    let server = Server::new(|asked| match Small::new().answer(asked) {
        Reply::With(status, mut headers, body) => {
            headers.retain(|(name, _)| *name == "content-type");
            Reply::With(status, headers, body)
        }
        other => other,
    });
    let mut source = open(settings(&server.address, "stable"));
    let first = source.find(&Follow::Channel);
    assert_eq!(release(first.clone()).digest.as_str(), Small::new().digest().as_str());
    assert_eq!(source.find(&Follow::Channel), first);
    let manifest = "/v2/team/tiles/manifests/stable";
    let wanted = [format!("HEAD {manifest}"), format!("GET {manifest}")];
    assert_eq!(server.asked().split_off(3), wanted);
}

/// SRC-1: a look that finds nothing new is one HEAD, with the ETag or with the digest alone.
#[test]
fn a_look_that_finds_nothing_new_costs_one_head() {
    for with_etag in [true, false] {
        let server = Server::new(move |asked| match Small::new().answer(asked) {
            Reply::With(status, mut headers, body) => {
                headers.retain(|(name, _)| with_etag || *name != "etag");
                Reply::With(status, headers, body)
            }
            other => other,
        });
        let mut source = open(settings(&server.address, "stable"));
        let first = source.find(&Follow::Channel);
        assert_eq!(release(first.clone()).version, "1.0.0");
        let cost = server.asked().len();
        assert_eq!(cost, 3, "{:?}", server.asked());
        assert_eq!(source.find(&Follow::Channel), first);
        assert_eq!(source.find(&Follow::Channel), first);
        let later = server.all().split_off(cost);
        assert_eq!(later.len(), 2);
        for asked in later {
            assert_eq!(asked.method, "HEAD");
            assert_eq!(asked.header("if-none-match").is_some(), with_etag);
        }
    }
}

/// A registry behind a token service. `holds`: what the service says of its tokens' life.
fn guarded(holds: &'static str) -> (Server, Server) {
    let service = Server::new(move |asked| {
        let who = asked.header("authorization").unwrap_or("nobody");
        let basic = STANDARD.encode("joe:hunter2");
        let refresh = String::from_utf8_lossy(&asked.body).contains("refresh_token=t-for-joe");
        let who = if refresh || who == format!("Basic {basic}") { "joe" } else { "nobody" };
        if asked.path.contains("push") && who == "nobody" {
            return Reply::status(401);
        }
        let body = format!("{{\"token\":\"token-for-{who}\"{holds}}}");
        Reply::With(200, Vec::new(), body.into_bytes())
    });
    let realm = service.url("/token");
    let is_there = AtomicBool::new(false);
    let registry = Server::new(move |asked| {
        let given = asked.header("authorization").unwrap_or_default();
        let small = Small::new();
        match (asked.method.as_str(), given) {
            ("PUT", "Bearer token-for-joe") => {
                is_there.store(true, Ordering::Relaxed);
                Reply::status(201)
            }
            ("HEAD", given)
                if given.starts_with("Bearer ")
                    && asked.path.ends_with("/prod")
                    && !is_there.load(Ordering::Relaxed) =>
            {
                Reply::status(404)
            }
            ("GET" | "HEAD", "Bearer token-for-joe" | "Bearer token-for-nobody") => {
                small.answer(asked)
            }
            _ => {
                let way = format!(
                    "Bearer realm=\"{realm}\",service=\"rig\",scope=\"repository:team/tiles:pull\""
                );
                Reply::With(401, vec![("www-authenticate", way)], b"{}".to_vec())
            }
        }
    });
    (registry, service)
}

#[test]
fn a_token_is_asked_for_once_and_used_until_it_ends() {
    let (registry, service) = guarded(",\"expires_in\":300");
    let mut source = open(settings(&registry.address, "stable"));
    assert_eq!(release(source.find(&Follow::Channel)).version, "1.0.0");
    source.find(&Follow::Channel).unwrap();
    let asked = service.asked();
    assert_eq!(asked, ["GET /token?scope=repository:team/tiles:pull&service=rig"]);
    assert_eq!(registry.asked().len(), 5, "one question without a token, four with it");
    // One that the registry refuses before its time is asked for anew, once.
    let refused = Arc::new(AtomicUsize::new(0));
    let (count, service_url) = (Arc::clone(&refused), service.url("/token"));
    let registry = Server::new(move |asked| {
        if asked.header("authorization").is_some() && count.fetch_add(1, Ordering::Relaxed) != 3 {
            return Small::new().answer(asked);
        }
        let way = format!("Bearer realm=\"{service_url}\"");
        Reply::With(401, vec![("www-authenticate", way)], Vec::new())
    });
    let mut source = open(settings(&registry.address, "stable"));
    let before = service.asked().len();
    source.find(&Follow::Channel).unwrap();
    source.find(&Follow::Channel).unwrap();
    assert_eq!((refused.load(Ordering::Relaxed), service.asked().len() - before), (5, 2));
    // One that is as good as over is asked for each time.
    let (registry, service) = guarded(",\"expires_in\":5");
    let mut source = open(settings(&registry.address, "stable"));
    source.find(&Follow::Channel).unwrap();
    assert_eq!(service.asked().len(), 3);
}

#[test]
fn a_login_is_told_to_the_token_service_and_to_nobody_else() {
    let dir = Dir::new();
    for keys in ["password", "identity"] {
        let (registry, service) = guarded("");
        let path = dir.at("config.json");
        let mut settings = settings(&registry.address, "stable");
        settings.access.keys = docker_config(&path, &registry.address, PASSWORD);
        if keys == "identity" {
            let text = format!(
                "{{\"auths\": {{\"{}\": {{\"identitytoken\": \"t-for-joe\"}}}}}}",
                registry.address
            );
            put(&path, &text);
        }
        let mut source = open(settings);
        let digest = Small::new().digest();
        source.retag(digest.as_str(), "prod").unwrap();
        let asked = service.all();
        let wanted = if keys == "identity" { "POST" } else { "GET" };
        assert!(asked.iter().all(|one| one.method == wanted), "{asked:?}");
        for one in registry.all() {
            let given = one.header("authorization").unwrap_or_default();
            assert!(given.is_empty() || given.starts_with("Bearer token-for-"), "{given}");
        }
    }
    // Nobody may write.
    let (registry, _service) = guarded("");
    let mut source = open(settings(&registry.address, "stable"));
    let error = source.retag(Small::new().digest().as_str(), "prod").unwrap_err();
    assert!(error.text.contains("does not let us write: it answers 401 to nobody"), "{error}");
}

/// A registry that has had enough is left alone by all apps, for as long as it says.
#[test]
fn a_registry_that_has_had_enough_is_not_asked_again() {
    for (status, header, left) in [(429, "120", 115), (429, "", 55), (503, "7", 2)] {
        let server = Server::new(move |_| {
            let headers = vec![("retry-after", header.to_owned())];
            Reply::With(status, headers, Vec::new())
        });
        let pauses = Pauses::default();
        let source = |pauses: &Pauses| {
            let settings: Settings = settings(&server.address, "stable");
            RegistrySource::new(settings, Box::new(Fake::default()), pauses.clone())
        };
        let secs = |error: groundcrew_engine::ports::SourceError| {
            assert_eq!(error.kind, SourceErrorKind::Retry);
            let (_, rest) = error.text.split_once("asked for another ").expect("it says so");
            rest.trim_end_matches(" s").parse::<u64>().unwrap()
        };
        let first = secs(source(&pauses).find(&Follow::Channel).unwrap_err());
        let second = secs(source(&pauses).find(&Follow::Channel).unwrap_err());
        assert!(first >= second && second >= left, "{first} {second}");
        assert_eq!(server.asked().len(), 1, "the second source did not ask");
    }
}
