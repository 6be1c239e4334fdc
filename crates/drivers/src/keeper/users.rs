//! Looks users and groups up in `/etc/passwd` and `/etc/group`, without the name service switch.

use std::path::PathBuf;

use super::Error;
use super::spec::User;

/// Whom to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, sorted, without duplicates.
    pub(super) groups: Vec<u32>,
    /// Login name, if the user has an entry.
    pub(super) name: Option<String>,
    /// Home directory, if the user has an entry.
    pub(super) home: Option<PathBuf>,
}

/// Resolves `user` with the content of the two files.
pub(super) fn resolve(passwd: &str, group: &str, user: &User) -> Result<Identity, Error> {
    let unknown = |name: &str, why| Error::User { name: name.into(), why };
    let entry = entries(passwd).find(|f| f.first() == Some(&&*user.name) || id(f, 2, &user.name));
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|text| text.parse().ok());
    let (uid, own_gid) = match &entry {
        Some(fields) => (number(fields, 2), number(fields, 3)),
        None => (user.name.parse().ok(), None),
    };
    let uid = uid.ok_or_else(|| unknown(&user.name, "there is no such user in /etc/passwd"))?;
    let group_id = |name: &str| {
        group_id(group, name).ok_or_else(|| unknown(name, "there is no such group in /etc/group"))
    };
    let gid = match &user.group {
        Some(name) => group_id(name)?,
        None => {
            own_gid.ok_or_else(|| unknown(&user.name, "a number without an entry needs a group"))?
        }
    };
    let name = entry.as_ref().and_then(|fields| fields.first()).map(|name| (*name).to_owned());
    let mut groups = vec![gid];
    groups.extend(
        entries(group)
            .filter(|fields| {
                let members = fields.get(3).copied().unwrap_or_default();
                name.as_deref().is_some_and(|name| members.split(',').any(|m| m == name))
            })
            .filter_map(|fields| number(&fields, 2)),
    );
    for name in &user.groups {
        groups.push(group_id(name)?);
    }
    groups.sort_unstable();
    groups.dedup();
    let home = entry.as_ref().and_then(|fields| fields.get(5)).map(PathBuf::from);
    Ok(Identity { uid, gid, groups, name, home })
}

/// The number of a group, by its name or its number, with the content of the file.
pub(super) fn group_id(group: &str, name: &str) -> Option<u32> {
    let entry = entries(group).find(|fields| fields.first() == Some(&name));
    let number = entry.and_then(|fields| fields.get(2)?.parse().ok());
    number.or_else(|| name.parse().ok())
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn id(fields: &[&str], at: usize, wanted: &str) -> bool {
    let is_number = !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_digit());
    is_number && fields.get(at) == Some(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ntiles:x:998:997::/srv/tiles:/bin/false\n";
    const GROUP: &str = "root:x:0:\ntiles:x:997:\nvideo:x:44:root,tiles\nrender:x:105:tiles\n";

    fn check(name: &str, group: Option<&str>, groups: &[&str]) -> String {
        let user = User {
            name: name.into(),
            group: group.map(Into::into),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        };
        match resolve(PASSWD, GROUP, &user) {
            Ok(found) => format!("{} {} {:?}", found.uid, found.gid, found.groups),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        assert_eq!(check("tiles", None, &[]), "998 997 [44, 105, 997]");
        assert_eq!(check("998", None, &[]), "998 997 [44, 105, 997]");
        assert_eq!(check("tiles", Some("video"), &["root", "1234"]), "998 44 [0, 44, 105, 1234]");
        assert_eq!(check("4000", Some("44"), &[]), "4000 44 [44]");
    }

    #[test]
    fn unknown_users_and_groups_are_named() {
        let text = |name: &str, why: &str| format!("cannot run the app as {name:?}: {why}");
        assert_eq!(check("nix", None, &[]), text("nix", "there is no such user in /etc/passwd"));
        assert_eq!(check("", None, &[]), text("", "there is no such user in /etc/passwd"));
        assert_eq!(
            check("4000", None, &[]),
            text("4000", "a number without an entry needs a group")
        );
        let why = "there is no such group in /etc/group";
        assert_eq!(check("tiles", Some("none"), &[]), text("none", why));
        assert_eq!(check("tiles", None, &["none"]), text("none", why));
    }
}
