//! Tells a service manager how a role is: ready, alive, ending. The protocol of `sd_notify(3)`:
//! one datagram with lines `NAME=value` to the socket that `NOTIFY_SOCKET` names.
//!
//! Without a service manager nothing is said. What cannot be sent is not tried again: a role's
//! work does not depend on anybody listening.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// So many signs of life fit into the time that the manager waits for one.
const SIGNS_PER_WAIT: u32 = 3;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Manager {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says; `pid` is this process.
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let to = get("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                [b'/', ..] => SocketAddr::from_pathname(&name),
                _ => return None,
            };
            Some((UnixDatagram::unbound().ok()?, address.ok()?))
        });
        let number = |name: &str| get(name)?.to_str()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|of| of == u64::from(pid));
        let wait = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && ours && to.is_some());
        Self { to, watchdog: wait.map(Duration::from_micros) }
    }

    /// How often a sign of life is wanted; `None`: nobody waits for one.
    pub(crate) fn sign_every(&self) -> Option<Duration> {
        self.watchdog.map(|wait| wait / SIGNS_PER_WAIT)
    }

    /// The role serves, and what it does.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// The role is alive.
    pub(crate) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// The role ends, and what that means.
    pub(crate) fn stopping(&self, status: &str) {
        self.say(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Something for people.
    pub(crate) fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", status.replace('\n', " ")));
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            // Nobody listens: the manager restarts, or is gone.
            socket.send_to_addr(text.as_bytes(), address).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(vars: &[(&str, &str)]) -> Manager {
        let vars: Vec<(String, OsString)> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let get = move |name: &str| {
            vars.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone())
        };
        Manager::from_env(get, 7)
    }

    #[test]
    fn the_manager_is_told_what_it_waits_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let said = || {
            let mut bytes = [0; 200];
            let size = listening.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..size].to_vec()).unwrap()
        };
        let manager = manager(&[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "6000000"),
            ("WATCHDOG_PID", "7"),
        ]);
        manager.ready("looking after 2 apps");
        assert_eq!(said(), "READY=1\nSTATUS=looking after 2 apps");
        manager.alive();
        assert_eq!(said(), "WATCHDOG=1");
        manager.status("two\nlines");
        assert_eq!(said(), "STATUS=two lines");
        manager.stopping("ending; apps keep running");
        assert!(said().starts_with("STOPPING=1\n"));
        assert_eq!(manager.sign_every(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_abstract_socket_works_too() {
        let name = format!("groundcrew-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        manager(&[("NOTIFY_SOCKET", &format!("@{name}"))]).alive();
        let mut bytes = [0; 20];
        assert_eq!(listening.recv(&mut bytes).unwrap(), "WATCHDOG=1".len());
    }

    #[test]
    fn signs_of_life_are_sent_only_where_they_are_waited_for() {
        let socket = ("NOTIFY_SOCKET", "/nowhere/notify");
        let wait = ("WATCHDOG_USEC", "3000000");
        for (vars, signs) in [
            (&[][..], false),
            (&[wait], false),
            (&[socket], false),
            (&[socket, ("WATCHDOG_USEC", "0")], false),
            (&[socket, ("WATCHDOG_USEC", "soon")], false),
            (&[socket, wait, ("WATCHDOG_PID", "8")], false),
            (&[socket, wait, ("WATCHDOG_PID", "7")], true),
            (&[socket, wait], true),
        ] {
            let manager = manager(vars);
            assert_eq!(manager.sign_every().is_some(), signs, "{vars:?}");
            // Nobody listens there.
            manager.alive();
        }
    }
}
