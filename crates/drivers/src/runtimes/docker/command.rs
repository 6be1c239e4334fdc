//! Commands of a release: a migration in a container of its own, a hook in the app's if that runs.

use std::time::{Duration, Instant};

use groundcrew_engine::ports::{CommandOrder, Purpose};
use serde_json::{Value, json};

use super::api::{self, ASK_MAX, quoted};
use super::error::Error;
use super::look::{self, Container, MARK, Part};
use super::template::{RELEASE, UPDATE, text};
use super::{DockerRuntime, OUTPUT_LINES, TICK};

/// Label of an image: the command that migrates the data up to it, as a JSON list.
pub const MIGRATE_UP: &str = "groundcrew.migrate.up";
/// Label of an image: the command that undoes its migration, as a JSON list.
pub const MIGRATE_DOWN: &str = "groundcrew.migrate.down";

impl DockerRuntime {
    pub(super) fn run_command(&self, order: &CommandOrder<'_>) -> Result<(), Error> {
        let all = self.look()?;
        match &order.purpose {
            Purpose::Hook(words) => match self.serving(order, &all)? {
                Some(place) => {
                    let limit = Duration::from_millis(order.timeout_ms);
                    self.exec(place, words, &env(order), limit)
                }
                None => self.run_aside("hook", words, order, &all),
            },
            Purpose::Migrate => {
                let words = self.labelled(order, &all, MIGRATE_UP)?;
                self.run_aside("migrate", &words, order, &all)
            }
            Purpose::Undo => {
                let words = self.labelled(order, &all, MIGRATE_DOWN)?;
                self.run_aside("migrate", &words, order, &all)
            }
        }
    }

    /// The container in place, if it is of this release and runs.
    fn serving<'a>(
        &self,
        order: &CommandOrder<'_>,
        all: &'a [Container],
    ) -> Result<Option<&'a Container>, Error> {
        for one in look::apps(all).filter(|one| one.is_alive()) {
            if look::digest(&self.api, one)? == order.installed.release.digest {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }

    fn labelled(
        &self,
        order: &CommandOrder<'_>,
        all: &[Container],
        label: &'static str,
    ) -> Result<Vec<String>, Error> {
        let digest = &order.installed.release.digest;
        let missing = || Error::NoImage { digest: digest.clone() };
        let name = self.image(digest, all)?.ok_or_else(missing)?;
        let image =
            self.api.get(&format!("/images/{}/json", quoted(&name)))?.ok_or_else(missing)?;
        let labels = image.pointer("/Config/Labels").and_then(Value::as_object);
        let value = labels.and_then(|labels| labels.get(label)?.as_str());
        let value = value.ok_or(Error::NoMigration { label })?;
        serde_json::from_str(value).map_err(|_| Error::Command { label, value: value.to_owned() })
    }

    /// In the running container, as the user of the app. What is not done in time goes on in there: an
    /// engine cannot end it.
    pub(super) fn exec(
        &self,
        one: &Container,
        words: &[String],
        env: &[String],
        limit: Duration,
    ) -> Result<(), Error> {
        let what = words.join(" ");
        let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let body = json!({
            "AttachStdout": true, "AttachStderr": true, "Cmd": words, "Env": env,
        });
        let made = self.api.order(&format!("/containers/{}/exec", one.id()), &body)?;
        let id = text(&made, "/Id");
        let start = json!({ "Detach": false, "Tty": false });
        let begun = Instant::now();
        let said = self.api.post(&format!("/exec/{id}/start"), &start, limit);
        let late = |said| Error::TimedOut { what: what.clone(), timeout_ms, said };
        let bytes = match said {
            Err(api::Error::Silent { .. }) if begun.elapsed() >= limit => {
                return Err(late(String::new()));
            }
            said => said?,
        };
        let said = look::lines(&bytes, false, OUTPUT_LINES).join("\n");
        loop {
            let seen = self.api.get(&format!("/exec/{id}/json"))?.unwrap_or_default();
            if seen.get("Running") != Some(&Value::Bool(true)) {
                let code = seen.get("ExitCode").and_then(Value::as_i64).unwrap_or(-1);
                return if code == 0 { Ok(()) } else { Err(Error::Failed { what, code, said }) };
            }
            if begun.elapsed() >= limit {
                return Err(late(said));
            }
            std::thread::sleep(TICK);
        }
    }

    /// In a container like the app's, with its data and its networks, without its ports and its names.
    fn run_aside(
        &self,
        kind: &str,
        words: &[String],
        order: &CommandOrder<'_>,
        all: &[Container],
    ) -> Result<(), Error> {
        let digest = &order.installed.release.digest;
        let image =
            self.image(digest, all)?.ok_or_else(|| Error::NoImage { digest: digest.clone() })?;
        let record = self.record()?;
        let model = look::in_place(all).or_else(|| all.iter().rfind(|one| one.part == Part::Aside));
        let labels = [(RELEASE, digest.to_string()), (UPDATE, order.txn.to_string())];
        let mut template = self.template(model, &image, &labels, &record)?;
        bare(&mut template.create, words, &env(order));
        for (_, endpoint) in &mut template.connect {
            *endpoint = json!({});
        }
        let name = format!("{}{MARK}{kind}-{}", self.settings.container, order.txn);
        let id = self.create(&name, &template)?;
        let done = self.to_the_end(&id, words.join(" "), order.timeout_ms);
        // What a command leaves behind ends with it; its own end is what counts.
        let gone = self.remove(&id);
        done.and(gone)
    }

    fn to_the_end(&self, id: &str, what: String, timeout_ms: u64) -> Result<(), Error> {
        self.api.post(&format!("/containers/{id}/start"), &Value::Null, ASK_MAX)?;
        let shown = self.api.get(&format!("/containers/{id}/json"))?.unwrap_or_default();
        let one = Container { shown, part: Part::Hook };
        match self.wait_for_end(&one, Duration::from_millis(timeout_ms))? {
            Some(ended) if ended.exit_code() == 0 => Ok(()),
            Some(ended) => {
                let said = self.said(&ended).join("\n");
                Err(Error::Failed { what, code: ended.exit_code(), said })
            }
            None => Err(Error::TimedOut { what, timeout_ms, said: self.said(&one).join("\n") }),
        }
    }
}

fn env(order: &CommandOrder<'_>) -> Vec<String> {
    vec![
        format!("GROUNDCREW_TXN={}", order.txn),
        format!("GROUNDCREW_RELEASE={}", order.installed.release.version),
    ]
}

/// Takes out what only one container can have at a time, and puts the command in.
fn bare(create: &mut Value, words: &[String], env: &[String]) {
    let Some(create) = create.as_object_mut() else { return };
    create.insert("Entrypoint".to_owned(), json!([""]));
    create.insert("Cmd".to_owned(), words.into());
    create.insert("Healthcheck".to_owned(), json!({ "Test": ["NONE"] }));
    create.remove("ExposedPorts");
    create.remove("MacAddress");
    if let Some(lines) = create.entry("Env").or_insert_with(|| json!([])).as_array_mut() {
        lines.extend(env.iter().cloned().map(Value::from));
    }
    if let Some(host) = create.get_mut("HostConfig").and_then(Value::as_object_mut) {
        host.remove("PortBindings");
        host.insert("PublishAllPorts".to_owned(), false.into());
        host.insert("RestartPolicy".to_owned(), json!({ "Name": "no" }));
    }
    let networks =
        create.get_mut("NetworkingConfig").and_then(|all| all.get_mut("EndpointsConfig"));
    for endpoint in
        networks.and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut())
    {
        *endpoint = json!({});
    }
}
