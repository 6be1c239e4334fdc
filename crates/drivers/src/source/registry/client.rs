//! Asks a registry about one repository: what a tag names, what an image is, which tags there are.
//!
//! What comes is checked before it is believed: the digest of every manifest and blob, its size, and
//! the time that all of it took. Nothing here knows of apps or releases.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use ureq::http::Method;

use super::auth::{Auth, Doing, escaped};
use super::error::Error;
pub use super::http::PATIENCE;
use super::http::{Answer, Ask, Http, join, origin, shown};
use super::keys::Keys;
use super::manifest::{self, Descriptor, Image, Index, Manifest};
use super::pauses::{Pauses, retry_after};
use super::reference::{Repository, is_tag};
use crate::bundle::Sha256;

/// A manifest, in bytes: what registries take at most.
const MANIFEST_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A page of tags, in bytes.
const TAGS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Tags that are asked for at once.
const TAGS_PAGE: usize = 1_000;

/// Pages of tags that are read.
const TAG_PAGES_MAX: usize = 50;

/// Tags that are looked through.
pub const TAGS_MAX: usize = 20_000;

/// Things that refer to a manifest and are read.
pub const REFERRERS_MAX: usize = 50;

/// Which repository, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The repository.
    pub repository: Repository,
    /// Speak `http`, unencrypted.
    pub plain_http: bool,
    /// A file with the CA that its certificate is from; nobody else is believed then.
    pub ca: Option<PathBuf>,
    /// As whom.
    pub keys: Keys,
    /// Limit of one question with its answer; [`PATIENCE`].
    pub patience: Duration,
}

/// What a tag names now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same as before.
    Same,
    /// There is no such tag.
    Nothing,
    /// This.
    At {
        /// The digest, where the registry says it.
        digest: Option<Sha256>,
        /// What to ask with the next time.
        etag: Option<String>,
    },
}

/// The tags of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// In the order of the registry.
    pub names: Vec<String>,
    /// There are more than are read.
    pub cut: bool,
}

/// Asks about one repository.
#[derive(Debug)]
pub struct Client {
    repository: Repository,
    base: String,
    http: Http,
    auth: Auth,
    pauses: Pauses,
}

impl Client {
    /// A client; nothing is asked or read yet.
    #[must_use]
    pub fn new(access: Access, pauses: Pauses) -> Self {
        let Access { repository, plain_http, ca, keys, patience } = access;
        let scheme = if plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}", repository.api(), repository.path);
        let auth = Auth::new(keys, &repository.registry, &repository.path);
        Self { repository, base, http: Http::new(ca, plain_http, patience), auth, pauses }
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// A new look begins: the time limit over all its questions starts.
    pub fn begin(&mut self) {
        self.http.begin();
    }

    /// Asks what a tag or digest names without reading it; with the `etag` of the last answer that
    /// costs next to nothing.
    ///
    /// # Errors
    ///
    /// See [`Error::kind`].
    pub fn head(&mut self, reference: &str, etag: Option<&str>) -> Result<Seen, Error> {
        let url = format!("{}/manifests/{reference}", self.base);
        let mut ask = Ask { method: Method::HEAD, ..Ask::get(&url, 0) }
            .with("accept", manifest::ACCEPT.join(", "));
        if let Some(etag) = etag {
            ask = ask.with("if-none-match", etag);
        }
        let answer = self.ask(Doing::Pull, ask)?;
        match answer.status {
            200 => {
                let etag = answer.header("etag").map(str::to_owned);
                Ok(Seen::At { digest: said_digest(&answer)?, etag })
            }
            304 if etag.is_some() => Ok(Seen::Same),
            404 => self.check_repository().map(|()| Seen::Nothing),
            _ => Err(answer.refusal()),
        }
    }

    /// Reads the manifest of a tag or digest; `None`: there is none.
    ///
    /// # Errors
    ///
    /// See [`Error::kind`]; `Refuse`: the bytes are not those that the digest names.
    pub fn manifest(&mut self, reference: &str) -> Result<Option<Manifest>, Error> {
        let url = format!("{}/manifests/{reference}", self.base);
        let ask = Ask::get(&url, MANIFEST_MAX_BYTES).with("accept", manifest::ACCEPT.join(", "));
        let answer = self.ask(Doing::Pull, ask)?;
        match answer.status {
            200 => {}
            404 if answer.has_code("NAME_UNKNOWN") => return Err(self.no_repository()),
            404 => return Ok(None),
            _ => return Err(answer.refusal()),
        }
        let wanted = match Sha256::parse(reference) {
            Some(digest) => Some(digest),
            None => said_digest(&answer)?,
        };
        let digest = check_digest(&answer, wanted.as_ref())?;
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let image = format!("{}@{digest}", self.repository);
        Manifest::read(digest, media_type, answer.body).map(Some).map_err(|why| match wanted {
            Some(_) => Error::Refused { image, why },
            None => Error::Garbage { url: shown(&answer.url), why },
        })
    }

    /// Reads a blob of at most so many bytes.
    ///
    /// # Errors
    ///
    /// See [`Error::kind`]; `Refuse`: it is not there, or its bytes are not those that the digest
    /// names.
    pub fn blob(&mut self, digest: &Sha256, max_bytes: usize) -> Result<Vec<u8>, Error> {
        let url = format!("{}/blobs/{digest}", self.base);
        let answer = self.ask(Doing::Pull, Ask::get(&url, max_bytes))?;
        match answer.status {
            200 => check_digest(&answer, Some(digest)).map(|_| answer.body),
            404 => {
                let image = self.repository.to_string();
                let why = format!("the registry has lost a part of it, {digest}; push it again");
                Err(Error::Refused { image, why })
            }
            _ => Err(answer.refusal()),
        }
    }

    /// All tags, up to [`TAGS_MAX`].
    ///
    /// # Errors
    ///
    /// See [`Error::kind`].
    pub fn tags(&mut self) -> Result<Tags, Error> {
        let first = format!("{}/tags/list", self.base);
        let mut tags = Tags { names: Vec::new(), cut: false };
        let mut next = Some(format!("{first}?n={TAGS_PAGE}"));
        for _ in 0..TAG_PAGES_MAX {
            let Some(url) = next.take() else { return Ok(tags) };
            let answer = self.ask(Doing::Pull, Ask::get(&url, TAGS_MAX_BYTES))?;
            match answer.status {
                200 => {}
                404 => return Err(self.no_repository()),
                _ => return Err(answer.refusal()),
            }
            let page = manifest::tags(&answer.body)
                .map_err(|why| Error::Garbage { url: shown(&url), why })?;
            let known = tags.names.len();
            tags.names.extend(page.into_iter().filter(|tag| is_tag(tag)));
            next = next_page(&answer, &first)?;
            // A registry that sends us in a circle brings nothing new.
            let goes_on = tags.names.len() > known && tags.names.len() < TAGS_MAX;
            if !goes_on && next.is_some() {
                tags.cut = true;
                tags.names.truncate(TAGS_MAX);
                return Ok(tags);
            }
        }
        tags.cut = next.is_some();
        Ok(tags)
    }

    /// What refers to this manifest and is of this kind: signatures, notes; [`REFERRERS_MAX`] at
    /// most. Registries without the question of their own keep the list under a tag.
    ///
    /// # Errors
    ///
    /// See [`Error::kind`].
    pub fn referrers(&mut self, digest: &Sha256, kind: &str) -> Result<Vec<Image>, Error> {
        let url = format!("{}/referrers/{digest}?artifactType={}", self.base, escaped(kind));
        let answer = self.ask(Doing::Pull, Ask::get(&url, MANIFEST_MAX_BYTES))?;
        let index = match answer.status {
            200 => Index::parse(&answer.body)
                .map_err(|why| Error::Garbage { url: shown(&url), why })?,
            404 => match self.manifest(&tag_of(digest))? {
                Some(manifest) => manifest.index.unwrap_or_default(),
                None => return Ok(Vec::new()),
            },
            _ => return Err(answer.refusal()),
        };
        // Lists that pushers keep may name the kind of the configuration instead.
        let may_be = |one: &&Descriptor| {
            one.artifact_type.as_deref().is_none_or(|of| of == kind || of == manifest::OCI_EMPTY)
        };
        let mut found = Vec::new();
        for entry in index.manifests.iter().filter(may_be).take(REFERRERS_MAX) {
            let Some(digest) = Sha256::parse(&entry.digest) else { continue };
            // One that was removed may still be on the list.
            let Some(manifest) = self.manifest(digest.as_str())? else { continue };
            found.extend(manifest.image.filter(|image| image.kind() == kind));
        }
        Ok(found)
    }

    /// Makes a tag name this manifest, which the registry has already. Done twice, it changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// See [`Error::kind`].
    pub fn put_tag(&mut self, tag: &str, manifest: &Manifest) -> Result<(), Error> {
        let url = format!("{}/manifests/{tag}", self.base);
        let ask = Ask {
            method: Method::PUT,
            body: Some(&manifest.bytes),
            ..Ask::get(&url, MANIFEST_MAX_BYTES)
        }
        .with("content-type", manifest.media_type.clone());
        let answer = self.ask(Doing::Push, ask)?;
        if !(200..300).contains(&answer.status) {
            return Err(answer.refusal());
        }
        match self.head(tag, None)? {
            Seen::At { digest: Some(digest), .. } if digest != manifest.digest => {
                let (found, expected) = (digest.to_string(), manifest.digest.to_string());
                Err(Error::Digest { url: shown(&url), found, expected })
            }
            Seen::At { .. } => Ok(()),
            Seen::Same | Seen::Nothing => {
                let why = "it took the tag and does not have it".to_owned();
                Err(Error::Garbage { url: shown(&url), why })
            }
        }
    }

    fn no_repository(&self) -> Error {
        let Repository { registry, path } = self.repository.clone();
        Error::NoRepository { registry, path }
    }

    /// A tag that is not there is an answer, a repository that is not there is a mistake.
    fn check_repository(&mut self) -> Result<(), Error> {
        let url = format!("{}/tags/list?n=1", self.base);
        let answer = self.ask(Doing::Pull, Ask::get(&url, TAGS_MAX_BYTES))?;
        if answer.status == 404 { Err(self.no_repository()) } else { Ok(()) }
    }

    /// Asks, says who we are if that is wanted, and leaves the registry alone if that is.
    fn ask(&mut self, doing: Doing, mut ask: Ask<'_>) -> Result<Answer, Error> {
        let registry = self.repository.registry.clone();
        if let Some(left) = self.pauses.left(&registry, Instant::now()) {
            return Err(Error::Wait { registry, left_secs: left.as_secs().max(1) });
        }
        for first in [true, false] {
            ask.headers.retain(|(name, _)| *name != "authorization");
            let header = self.auth.header(&mut self.http, doing)?;
            ask.headers.extend(header.map(|header| ("authorization", header)));
            let answer = self.http.ask(&ask)?;
            let ours = origin(&answer.url) == origin(ask.url);
            match answer.status {
                401 if first && ours => self.auth.learn(&answer, doing)?,
                401 | 403 if ours => return Err(self.auth.refused(doing, &answer)),
                429 => return Err(self.wait(&answer)),
                503 if answer.header("retry-after").is_some() => return Err(self.wait(&answer)),
                _ => return Ok(answer),
            }
        }
        let why = "it asks who we are again and again".to_owned();
        Err(Error::Garbage { url: shown(ask.url), why })
    }

    fn wait(&self, answer: &Answer) -> Error {
        let asked = answer.header("retry-after");
        let asked = asked.and_then(|text| retry_after(text, SystemTime::now()));
        let registry = self.repository.registry.clone();
        let left = self.pauses.note(&registry, asked, Instant::now());
        Error::Wait { registry, left_secs: left.as_secs().max(1) }
    }
}

/// Under which tag registries without referrers keep what refers to a manifest.
pub(super) fn tag_of(digest: &Sha256) -> String {
    digest.as_str().replacen(':', "-", 1)
}

/// The digest in the header, if there is one that we can check.
fn said_digest(answer: &Answer) -> Result<Option<Sha256>, Error> {
    let Some(said) = answer.header("docker-content-digest") else { return Ok(None) };
    let why = || format!("it names {said:?}, which is no sha256 digest");
    let digest = Sha256::parse(said);
    digest.map(Some).ok_or_else(|| Error::Garbage { url: shown(&answer.url), why: why() })
}

fn check_digest(answer: &Answer, wanted: Option<&Sha256>) -> Result<Sha256, Error> {
    let found = Sha256::of(&answer.body);
    match wanted {
        Some(wanted) if *wanted != found => Err(Error::Digest {
            url: shown(&answer.url),
            found: found.to_string(),
            expected: wanted.to_string(),
        }),
        _ => Ok(found),
    }
}

/// The link to the next page; it has to lead to the same list of the same registry.
fn next_page(answer: &Answer, list: &str) -> Result<Option<String>, Error> {
    let Some(header) = answer.header("link") else { return Ok(None) };
    let link =
        header.split(',').find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"));
    let Some(link) = link else { return Ok(None) };
    let inner = link.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let to = inner.and_then(|(to, _)| join(&answer.url, to));
    match to {
        Some(to) if to.split('?').next() == Some(list) => Ok(Some(to)),
        _ => {
            let why = "its link to the next page of tags leads elsewhere".to_owned();
            Err(Error::Garbage { url: shown(&answer.url), why })
        }
    }
}
