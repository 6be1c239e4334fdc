//! Registries that answer garbage, hang, stream for ever, lie about digests and lead astray: each is
//! refused, says the place, and nothing of it is believed.

use std::time::{Duration, Instant};

use groundcrew_drivers::bundle::Sha256;
use groundcrew_engine::noun::Digest;
use groundcrew_engine::ports::{Follow, Silent, Source as _, SourceErrorKind};

use crate::asking::Small;
use crate::server::{Asked, Reply, Server};
use crate::source::{open, release, settings};

/// What a look at this registry ends with.
fn look(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (SourceErrorKind, String) {
    let server = Server::new(answer);
    let error = open(settings(&server.address, "stable")).find(&Follow::Channel).unwrap_err();
    (error.kind, error.text.replace(&server.address, "HOST"))
}

fn with(body: &str) -> Reply {
    let kind = "application/vnd.oci.image.manifest.v1+json".to_owned();
    Reply::With(200, vec![("content-type", kind)], body.as_bytes().to_vec())
}

#[test]
fn garbage_is_said_with_its_place() {
    type Answer = fn(&Asked) -> Reply;
    let all: &[(Answer, &str)] = &[
        (|_| with("<html>hello</html>"), "that is no manifest"),
        (|_| with("{\"schemaVersion\":1}"), "schemaVersion 1, 2 is read"),
        (|_| with("{}"), "schemaVersion none"),
        (|_| with("{\"schemaVersion\":2,\"mediaType\":\"a/b\"}"), "\"a/b\" is no kind of manifest"),
        (|_| with("{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}"), "one image and several"),
        (|_| Reply::status(500), "answers 500"),
        (|_| Reply::Raw(b"HTTP/1.1 hello\r\n\r\n".to_vec()), "no answer"),
        (|_| Reply::Raw(Vec::new()), "no answer"),
        (
            |_| Reply::With(200, vec![("docker-content-digest", "md5:x".to_owned())], Vec::new()),
            "\"md5:x\", which is no sha256 digest",
        ),
        (
            |_| Reply::With(401, vec![("www-authenticate", "Negotiate".to_owned())], Vec::new()),
            "it wants Negotiate; groundcrew knows Basic and Bearer",
        ),
        (
            |_| {
                let way = "Bearer realm=\"file:///etc/passwd\"".to_owned();
                Reply::With(401, vec![("www-authenticate", way)], Vec::new())
            },
            "is no address",
        ),
        (
            |asked| match asked.method.as_str() {
                "HEAD" => Reply::status(404),
                _ => Reply::With(
                    404,
                    Vec::new(),
                    b"{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}".to_vec(),
                ),
            },
            "has no repository team/tiles",
        ),
    ];
    for (answer, what) in all {
        let (kind, text) = look(answer);
        assert_eq!(kind, SourceErrorKind::Retry, "{text}");
        assert!(text.contains(what) && text.contains("HOST"), "{what}: {text}");
    }
}

/// What comes is compared with the digest before anything in it is read.
#[test]
fn bytes_that_are_not_what_the_digest_names_are_never_a_release() {
    let another = Sha256::of(b"another");
    let says = another.to_string();
    let server = Server::new(move |asked| match Small::new().answer(asked) {
        Reply::With(status, mut headers, body) => {
            for (name, value) in &mut headers {
                if *name == "docker-content-digest" {
                    value.clone_from(&says);
                }
            }
            Reply::With(status, headers, body)
        }
        other => other,
    });
    let mut source = open(settings(&server.address, "stable"));
    let found = release(source.find(&Follow::Channel));
    assert_eq!(found.digest.as_str(), another.as_str());
    assert_ne!(found.version, "1.0.0", "its label is not believed");
    let error = source.fetch(&found, &mut Silent).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Refuse);
    let good = Small::new().digest();
    for part in [another.as_str(), good.as_str(), "push the image again", "groundcrew unblock"] {
        assert!(error.text.contains(part), "{part}: {error}");
    }

    // The manifest is right and the configuration is another one.
    let server = Server::new(|asked| {
        if asked.path.contains("/blobs/") { with("{}") } else { Small::new().answer(asked) }
    });
    let mut source = open(settings(&server.address, "stable"));
    let found = release(source.find(&Follow::Channel));
    assert_eq!(found.digest.as_str(), good.as_str());
    assert_eq!(source.fetch(&found, &mut Silent).unwrap_err().kind, SourceErrorKind::Refuse);
    let nobody = source.verify(&Digest(good.to_string()));
    assert!(nobody.is_err(), "nothing was fetched");
}

#[test]
fn an_answer_without_end_is_cut() {
    let begun = Instant::now();
    let (kind, text) = look(|asked| match asked.method.as_str() {
        "HEAD" => with(""),
        _ => Reply::Endless,
    });
    assert_eq!(kind, SourceErrorKind::Retry);
    assert!(text.contains("answers with more than 4194304 bytes"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// A look has an end, whether nothing comes, or a little all the time.
#[test]
fn a_registry_that_hangs_is_left_in_time() {
    type Answer = fn(&Asked) -> Reply;
    let half = |asked: &Asked| match asked.method.as_str() {
        "HEAD" => with(""),
        _ => Reply::Never,
    };
    let all: [Answer; 3] = [|_| Reply::Never, half, |_| Reply::Slow];
    for answer in all {
        let server = Server::new(answer);
        let mut hasty = settings(&server.address, "stable");
        hasty.access.patience = Duration::from_millis(200);
        let begun = Instant::now();
        let error = open(hasty).find(&Follow::Channel).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Retry);
        assert!(error.text.contains("no answer within"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

/// A redirect is followed where it may lead, and who we are is told only to the registry itself.
#[test]
fn redirects_are_followed_without_our_login_and_never_in_a_circle() {
    let storage = Server::new(|asked| {
        assert_eq!(asked.header("authorization"), None, "the storage learns nothing");
        Small::new().answer(asked)
    });
    let to = storage.url("/store/blobs/x?signature=hunter2");
    let registry = Server::new(move |asked| {
        if asked.header("authorization").is_none() {
            let way = ("www-authenticate", "Basic realm=\"x\"".to_owned());
            return Reply::With(401, vec![way], Vec::new());
        }
        if asked.path.contains("/blobs/") {
            return Reply::With(307, vec![("location", to.clone())], Vec::new());
        }
        Small::new().answer(asked)
    });
    let dir = crate::rig::Dir::new();
    crate::rig::put(&dir.at("password"), "hunter2");
    let mut known = settings(&registry.address, "stable");
    known.access.keys = groundcrew_drivers::source::registry::Keys::Given {
        username: "joe".to_owned(),
        password_file: dir.at("password"),
    };
    assert_eq!(release(open(known).find(&Follow::Channel)).version, "1.0.0");
    assert_eq!(storage.asked().len(), 1);

    let all = [
        ("/v2/team/tiles/manifests/stable", "one redirect too many"),
        ("ftp://x.lan/y?hunter2", "no address we could follow"),
        ("", "no address we could follow"),
    ];
    for (to, why) in all {
        let headers = move || vec![("location", to.to_owned())];
        let (kind, text) = look(move |_| Reply::With(302, headers(), Vec::new()));
        assert_eq!(kind, SourceErrorKind::Retry);
        assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
    }
}

/// A registry may send whoever lists its tags from page to page for ever.
#[test]
fn pages_of_tags_that_bring_nothing_new_or_lead_elsewhere_are_not_followed() {
    let list = |link: &str, tags: &str| {
        let link = link.to_owned();
        let body = format!("{{\"tags\":{tags}}}").into_bytes();
        let server =
            Server::new(move |_| Reply::With(200, vec![("link", link.clone())], body.clone()));
        let tags = open(settings(&server.address, "stable")).tags();
        (tags, server.asked().len())
    };
    let same = "</v2/team/tiles/tags/list?last=b&n=2>; rel=\"next\"";
    let (tags, asked) = list(same, "[]");
    assert!(tags.unwrap().cut && asked == 1, "nothing new came");
    let (tags, asked) = list(same, "[\"a\",\"b\",\"no tag\"]");
    assert!(tags.unwrap().cut && asked == 50, "the pages end");
    for elsewhere in
        ["<http://other.lan/v2/team/tiles/tags/list>; rel=\"next\"", "<x>; rel=\"next\""]
    {
        let (tags, _) = list(elsewhere, "[\"a\"]");
        assert!(tags.unwrap_err().text.contains("leads elsewhere"));
    }
    let (tags, _) = list("", "null");
    assert!(tags.unwrap().names.is_empty());
}
