//! Containers that live in the network of the app's container follow it.
//!
//! `--network container:app` binds to one container for good: when the app gets another, whoever lives in the
//! network of the old one has none. So each gets a container like its own in the network of the new one and
//! gives its name to it; when the old one comes back, so do they. One that was in the right network all along
//! and runs since before the app was started is started anew, because the network is another one.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::{ASK_MAX, quoted};
use super::error::Error;
use super::look::{Container, MARK, Part, moment};
use super::record::Record;
use super::template::{self, Change, array, text};
use super::{DockerRuntime, SHORT};
use crate::durable::Site;

/// How long a container that follows has to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Containers that follow one app.
const FOLLOWERS_MAX: usize = 32;

impl DockerRuntime {
    /// Brings whoever lives in the network of one of the app's containers into that of `place`, which runs.
    /// Whatever an agent that died left of this is completed.
    pub(super) fn follow(
        &self,
        place: &Container,
        members: &[Container],
        record: &mut Record,
    ) -> Result<(), Error> {
        let listed = self.api.get("/containers/json?all=1")?.unwrap_or_default();
        let place = self.again(place)?;
        for one in listed.as_array().into_iter().flatten().take(FOLLOWERS_MAX * 100) {
            let mode = text(one, "/HostConfig/NetworkMode");
            let Some(host) = mode.strip_prefix("container:") else { continue };
            let names = || array(one, "/Names").filter_map(Value::as_str);
            if names().any(|name| name.contains(MARK)) {
                continue;
            }
            let is_ours = |member: &Container| host == member.id();
            let same = host == place.id() || host == place.name();
            if !same && !members.iter().any(is_ours) {
                continue;
            }
            let path = format!("/containers/{}/json", text(one, "/Id"));
            // One that went meanwhile needs nobody's network.
            let Some(shown) = self.api.get(&path)? else { continue };
            let follower = Container { shown, part: Part::Aside };
            if same {
                self.renew(&follower, &place)?;
            } else {
                self.move_over(&follower, host, &place, record)?;
            }
        }
        let begun: Vec<String> = record.followers.keys().cloned().collect();
        begun.iter().try_for_each(|name| self.settle(name, &place, record))
    }

    fn renew(&self, follower: &Container, place: &Container) -> Result<(), Error> {
        if follower.is_alive() && moment(&follower.started_at()) < moment(&place.started_at()) {
            let path = format!("/containers/{}/restart?t={}", follower.id(), GRACE.as_secs());
            self.api.post(&path, &Value::Null, GRACE.saturating_add(ASK_MAX))?;
        }
        Ok(())
    }

    fn move_over(
        &self,
        follower: &Container,
        from: &str,
        place: &Container,
        record: &mut Record,
    ) -> Result<(), Error> {
        self.keep(follower)?;
        let name = follower.name();
        let there = with(&name, &place.id());
        if self.api.get(&format!("/containers/{}/json", quoted(&there)))?.is_none() {
            self.make_follower(follower, &there, place, record)?;
        }
        record.followers.entry(name.clone()).or_insert(follower.is_alive());
        record.write(&self.dir, Site::Run)?;
        self.attend(follower, record)?;
        if follower.is_alive() {
            let path = format!("/containers/{}/stop?t={}", follower.id(), GRACE.as_secs());
            self.api.post(&path, &Value::Null, GRACE.saturating_add(ASK_MAX))?;
        }
        self.rename(&follower.id(), &with(&name, from))
    }

    fn make_follower(
        &self,
        follower: &Container,
        there: &str,
        place: &Container,
        record: &Record,
    ) -> Result<(), Error> {
        // The tag may have moved on since; it stays what it is.
        let asked = text(&follower.shown, "/Config/Image");
        let found = self.api.get(&format!("/images/{}/json", quoted(&asked)))?;
        let same = found.is_some_and(|image| text(&image, "/Id") == follower.image());
        let image = if same { asked } else { follower.image() };
        let own_image = self.api.get(&format!("/images/{}/json", quoted(&follower.image())))?;
        let labels = [(template::POLICY, follower.policy(record).to_string())];
        let change = Change { image: &image, labels: &labels, host: "" };
        let mut template = template::like(&follower.shown, own_image.as_ref(), &change);
        if let Some(host) = template.create.get_mut("HostConfig").and_then(Value::as_object_mut) {
            host.insert("NetworkMode".to_owned(), format!("container:{}", place.id()).into());
            host.insert("RestartPolicy".to_owned(), json!({ "Name": "no" }));
        }
        self.create(there, &template).map(drop)
    }

    /// Gives the name to the one in the right network, and starts it if the one before ran.
    fn settle(&self, name: &str, place: &Container, record: &mut Record) -> Result<(), Error> {
        let there = with(name, &place.id());
        if let Some(shown) = self.api.get(&format!("/containers/{}/json", quoted(&there)))? {
            self.rename(&text(&shown, "/Id"), name)?;
        }
        let shown = self.api.get(&format!("/containers/{}/json", quoted(name)))?;
        // Somebody took it away: nobody is left to follow.
        if let Some(shown) = shown {
            let one = Container { shown, part: Part::Aside };
            if record.followers.get(name) == Some(&true) && !one.is_alive() {
                self.api.post(&format!("/containers/{}/start", one.id()), &Value::Null, ASK_MAX)?;
            }
            self.hand_over(&one, record)?;
        }
        record.followers.remove(name);
        record.write(&self.dir, Site::Run)
    }
}

/// What a follower is called while it is not the one with the name: after whose network it is in.
fn with(name: &str, id: &str) -> String {
    format!("{name}{MARK}with-{}", id.get(..SHORT).unwrap_or(id))
}
