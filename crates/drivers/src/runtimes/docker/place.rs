//! Which container is in place: making one like another, and exchanging their names.
//!
//! The name goes to the new container in three steps: it is made under a name of its own, the old one gives
//! the name up, the new one takes it. Each step is done or not; whoever comes after a crash does the rest,
//! because what is to be in place is known from the order and what there is from the engine.

use std::fs;
use std::path::PathBuf;

use groundcrew_engine::noun::{Digest, TxnId};
use groundcrew_engine::ports::SwitchOrder;
use serde_json::{Value, json};

use super::api::quoted;
use super::error::Error;
use super::look::{self, Container, MARK, Part};
use super::record::{Place, Record};
use super::template::{self, Change, RELEASE, Template, UPDATE, text};
use super::{DockerRuntime, SHORT};
use crate::durable::{self, Site};

/// Containers that are kept aside besides the one in place: the way back, and one that failed.
const ASIDE_MAX: usize = 2;

/// Containers that are gone and of which it is on record what they were like.
const GONE_MAX: usize = 16;

/// In the name of a container that is being made, before the update that makes it.
const NEW: &str = "new-";

/// What a container is made with while it must not be started by anybody but us.
fn no_restarts() -> Value {
    json!({ "Name": "no", "MaximumRetryCount": 0 })
}

impl DockerRuntime {
    pub(super) fn put_in_place(&self, order: &SwitchOrder<'_>) -> Result<(), Error> {
        let all = self.look()?;
        let mut record = self.record()?;
        for one in look::apps(&all) {
            self.keep(one)?;
        }
        let container = match order.to {
            None => {
                if let Some(one) = look::in_place(&all) {
                    self.put_aside(one)?;
                }
                None
            }
            Some(to) => Some(self.occupy(&to.release.digest, order, &all, &record)?),
        };
        let place = Place { container, txn: order.txn.clone(), back: order.back };
        if record.place.as_ref() != Some(&place) {
            record.place = Some(place);
            record.write(&self.dir, Site::Switch)?;
        }
        Ok(())
    }

    /// Gives the name to a container of this release; the id of that one.
    ///
    /// Only a way back takes one that is there already. On the way forward it would be as the app was
    /// when an earlier update tried this release, and what its owner changed since would be lost; or one
    /// that an agent made which died before it was connected to all of its networks.
    fn occupy(
        &self,
        wanted: &Digest,
        order: &SwitchOrder<'_>,
        all: &[Container],
        record: &Record,
    ) -> Result<String, Error> {
        let place = look::in_place(all);
        if let Some(one) = place
            && look::digest(&self.api, one)? == *wanted
        {
            return Ok(one.id());
        }
        // Only the way back takes one that was there before: what a candidate left in its own is not tried
        // once more.
        let mut there = None;
        let half_made = format!("{}{MARK}{NEW}", self.settings.container);
        let whole =
            |one: &&Container| one.part == Part::Aside && !one.name().starts_with(&half_made);
        for one in all.iter().filter(|_| order.back).filter(whole) {
            if look::digest(&self.api, one)? == *wanted {
                there = Some(one.id());
            }
        }
        let id = match there {
            Some(id) => id,
            None => self.make(wanted, order.txn, all, record)?,
        };
        if let Some(one) = place {
            self.put_aside(one)?;
        }
        self.rename(&id, &self.settings.container)?;
        self.prune(all, &id, record)?;
        Ok(id)
    }

    /// Makes a container of a release, under a name of its own.
    fn make(
        &self,
        wanted: &Digest,
        txn: &TxnId,
        all: &[Container],
        record: &Record,
    ) -> Result<String, Error> {
        let image =
            self.image(wanted, all)?.ok_or_else(|| Error::NoImage { digest: wanted.clone() })?;
        // Without one in place, what was there last is what the app is like.
        let model = look::in_place(all).or_else(|| all.iter().rfind(|one| one.part == Part::Aside));
        let policy = model.map_or(Value::Null, |one| one.policy(record));
        let labels = [
            (RELEASE, wanted.to_string()),
            (UPDATE, txn.to_string()),
            (template::POLICY, policy.to_string()),
        ];
        let mut template = self.template(model, &image, &labels, record)?;
        if model.is_none()
            && let Some(policy) = template.create.pointer("/HostConfig/RestartPolicy").cloned()
        {
            set_label(&mut template.create, template::POLICY, &policy.to_string());
        }
        set(&mut template.create, "HostConfig", "RestartPolicy", no_restarts());
        let name = format!("{}{MARK}{NEW}{txn}", self.settings.container);
        self.create(&name, &template)
    }

    /// What a container of this image is made with.
    pub(super) fn template(
        &self,
        model: Option<&Container>,
        image: &str,
        labels: &[(&str, String)],
        record: &Record,
    ) -> Result<Template, Error> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let change = Change { image, labels, host: &host };
        if let Some(model) = model {
            let path = format!("/images/{}/json", quoted(&model.image()));
            let old_image = self.api.get(&path)?;
            return Ok(template::like(&model.shown, old_image.as_ref(), &change));
        }
        let kept = record.place.as_ref().and_then(|place| place.container.as_deref());
        if let Some(shown) = kept.and_then(|id| self.kept(id)) {
            let old_image =
                self.api.get(&format!("/images/{}/json", quoted(&text(&shown, "/Image"))))?;
            return Ok(template::like(&shown, old_image.as_ref(), &change));
        }
        let name = || self.settings.container.clone();
        let mut create =
            self.settings.create.clone().ok_or_else(|| Error::NoContainer { name: name() })?;
        if let Some(create) = create.as_object_mut() {
            create.insert("Image".to_owned(), image.into());
        }
        for (label, value) in labels {
            set_label(&mut create, label, value);
        }
        Ok(Template { create, connect: Vec::new() })
    }

    /// Makes a container and connects it; one by this name that is there already was made by an agent that
    /// died, and nobody knows how far it came.
    pub(super) fn create(&self, name: &str, template: &Template) -> Result<String, Error> {
        self.remove(name)?;
        let path = format!("/containers/create?name={}", quoted(name));
        let made = self.api.order(&path, &template.create)?;
        let id = text(&made, "/Id");
        if id.is_empty() {
            return Err(Error::Incomplete { member: "Id" });
        }
        for (network, endpoint) in &template.connect {
            let body = json!({ "Container": id, "EndpointConfig": endpoint });
            self.api.order(&format!("/networks/{}/connect", quoted(network)), &body)?;
        }
        Ok(id)
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        Ok(self.api.delete(&format!("/containers/{}?force=1", quoted(name)))?)
    }

    fn put_aside(&self, one: &Container) -> Result<(), Error> {
        let id = one.id();
        let short = id.get(..SHORT).unwrap_or(&id);
        self.rename(&id, &format!("{}{MARK}{short}", self.settings.container))
    }

    pub(super) fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        let path = format!("/containers/{id}/rename?name={}", quoted(name));
        self.api.post(&path, &Value::Null, super::api::ASK_MAX)?;
        Ok(())
    }

    /// Removes what is aside for longer than anybody may want it back, once `placed` is in place: what never
    /// ran, and of the rest all but those that were started last.
    fn prune(&self, all: &[Container], placed: &str, record: &Record) -> Result<(), Error> {
        let is_ours = |one: &&Container| {
            // What we did not make may hold what no record of ours can bring back.
            let label = text(&one.shown, "/Config/Labels/groundcrew.release");
            let aside = one.part == Part::Aside && one.id() != placed;
            aside && !label.is_empty() && !one.is_alive() && self.kept(&one.id()).is_some()
        };
        let (ran, never): (Vec<&Container>, Vec<&Container>) =
            all.iter().filter(is_ours).partition(|one| one.was_started());
        // The one that just gave up the name is not among them yet.
        let gave_up = usize::from(look::in_place(all).is_some());
        let excess = (ran.len() + gave_up).saturating_sub(ASIDE_MAX);
        let ran = ran.into_iter().take(excess).filter(|one| record.start_of_any(&one.id()));
        let mut there: Vec<String> = all.iter().map(Container::id).collect();
        for one in ran.chain(never) {
            self.api.delete(&format!("/containers/{}", one.id()))?;
            there.retain(|id| *id != one.id());
        }
        self.forget(&there);
        Ok(())
    }

    /// Forgets what containers were like that are gone for longer than anybody may want one like them.
    fn forget(&self, there: &[String]) {
        let mut gone = Vec::new();
        for entry in fs::read_dir(self.dir.join("containers")).into_iter().flatten().flatten() {
            let path = entry.path();
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let is_there = there.iter().any(|one| Some(one) == id.as_ref());
            if let (false, Ok(written)) = (is_there, entry.metadata().and_then(|of| of.modified()))
            {
                gone.push((written, path));
            }
        }
        gone.sort();
        let excess = gone.len().saturating_sub(GONE_MAX);
        for (_, path) in gone.into_iter().take(excess) {
            // What stays costs a little room, and is tried again by the next update.
            fs::remove_file(path).ok();
        }
    }

    fn keep_path(&self, id: &str) -> PathBuf {
        self.dir.join("containers").join(format!("{id}.json"))
    }

    /// Writes down what a container is like, with the restarts that its owner wants.
    pub(super) fn keep(&self, one: &Container) -> Result<(), Error> {
        let path = self.keep_path(&one.id());
        if self.kept(&one.id()).is_some_and(|kept| same_make(&kept, &one.shown)) {
            return Ok(());
        }
        let dir = self.dir.join("containers");
        durable::create_dir_all(&dir, 0o700, Site::Run)
            .and_then(|()| durable::write_json(&path, &one.shown, 0o600, Site::Run))
            .map_err(Error::WriteRecord)
    }

    fn kept(&self, id: &str) -> Option<Value> {
        // What cannot be read is written anew from the container, or is gone with it.
        let bytes = fs::read(self.keep_path(id)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Whether two looks show a container that is made alike.
fn same_make(kept: &Value, shown: &Value) -> bool {
    let same = |part| kept.pointer(part) == shown.pointer(part);
    same("/Config") && same("/HostConfig") && same("/Name")
}

/// Sets a member of a member, making what is missing.
fn set(value: &mut Value, outer: &str, inner: &str, to: Value) {
    let Some(members) = value.as_object_mut() else { return };
    let part = members.entry(outer).or_insert_with(|| json!({}));
    if let Some(part) = part.as_object_mut() {
        part.insert(inner.to_owned(), to);
    }
}

fn set_label(create: &mut Value, label: &str, value: &str) {
    set(create, "Labels", label, value.into());
}
