//! What must happen to an app's data between two of its releases, and whether there is a way back
//! for it without a snapshot (UPD-5, UPD-18). Pure.

use crate::noun::Release;
use crate::plan::DataWork;
use crate::version::{Change, Version, VersionForm};

/// The way of the data from one release to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// What is done to it.
    pub work: DataWork,
    /// Why the release before could not run on it afterwards, as far as releases tell.
    pub one_way: Option<String>,
}

/// The passage from what runs, if anything does. A migration belongs to the step to its release: the
/// same release with a new configuration migrates nothing, and an older one is never migrated up
/// to; where the release that is left can undo its own migration, it does.
#[must_use]
pub fn passage(form: VersionForm, from: Option<&Release>, to: &Release) -> Passage {
    let up = if to.migration.is_some() { DataWork::Up } else { DataWork::Nothing };
    let Some(from) = from else { return Passage { work: up, one_way: None } };
    if from.digest == to.digest {
        return Passage { work: DataWork::Nothing, one_way: None };
    }
    if is_back(form, from, to) {
        let undo = from.migration.as_ref().is_some_and(|migration| migration.reversible);
        let work = if undo { DataWork::Down } else { DataWork::Nothing };
        return Passage { work, one_way: None };
    }
    Passage { work: up, one_way: one_way(form, from, to) }
}

/// Whether `to` is older than `from`.
#[must_use]
pub fn is_back(form: VersionForm, from: &Release, to: &Release) -> bool {
    let read = |release: &Release| Version::parse(&release.version, form);
    match (read(from), read(to)) {
        (Ok(from), Ok(to)) => from.change_to(&to) == Change::Downgrade,
        _ => false,
    }
}

/// Why `older` could not run on data that `newer` had in its hands; `None` where nothing says so.
#[must_use]
pub fn one_way(form: VersionForm, older: &Release, newer: &Release) -> Option<String> {
    let new = &newer.version;
    if newer.migration.as_ref().is_some_and(|migration| !migration.reversible) {
        return Some(format!("{new} migrates the data and cannot undo it"));
    }
    if let Some(why) = unreadable(form, newer, older) {
        return Some(why);
    }
    match (older.data_epoch, newer.data_epoch) {
        (Some(before), Some(after)) if before < after && newer.migration.is_none() => {
            Some(format!("{new} moves the data from epoch {before} to {after}"))
        }
        _ => None,
    }
}

/// Why `older` cannot, or may not, read what `owner` wrote, as `owner` declares it.
#[must_use]
pub fn unreadable(form: VersionForm, owner: &Release, older: &Release) -> Option<String> {
    let floor = owner.data_compatible_from.as_deref()?;
    let (old, new) = (&older.version, &owner.version);
    if floor == old {
        return None;
    }
    let read = |text: &str| Version::parse(text, form).ok();
    let comparable = form != VersionForm::Opaque;
    match (read(floor), read(old)) {
        (Some(floor), Some(version)) if comparable => {
            let reads = version.published_order(&floor).is_ge();
            let floor = floor.as_str();
            (!reads).then(|| {
                format!("{old} cannot read the data of {new}, which needs at least {floor}")
            })
        }
        _ => Some(format!(
            "{new} says that its data needs at least {floor:?}, and nobody can tell whether {old} \
             reads it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noun::Migration;

    fn release(version: &str, reversible: Option<bool>) -> Release {
        Release {
            version: version.to_owned(),
            digest: format!("sha256:{version}").as_str().into(),
            revision: None,
            published_ms: None,
            data_epoch: None,
            data_compatible_from: None,
            migration: reversible.map(|reversible| Migration { reversible, timeout_ms: 1 }),
        }
    }

    fn way(from: &Release, to: &Release) -> (DataWork, bool) {
        let passage = passage(VersionForm::Plain, Some(from), to);
        (passage.work, passage.one_way.is_some())
    }

    #[test]
    fn upd_5_a_migration_belongs_to_the_step_up_to_its_release() {
        let plain = release("1.0.0", None);
        let undoes = release("1.1.0", Some(true));
        let never = release("1.1.0", Some(false));
        assert_eq!(way(&plain, &undoes), (DataWork::Up, false));
        assert_eq!(way(&plain, &never), (DataWork::Up, true));
        assert_eq!(way(&undoes, &plain), (DataWork::Down, false));
        assert_eq!(way(&never, &plain), (DataWork::Nothing, false));
        assert_eq!(way(&never, &never), (DataWork::Nothing, false), "a new configuration only");
        let older = release("1.0.0", Some(false));
        assert_eq!(way(&plain, &older).0, DataWork::Nothing, "the same digest in this table");
        let older = Release { digest: "sha256:other".into(), ..older };
        assert_eq!(way(&undoes, &older), (DataWork::Down, false), "never migrated up to");
    }

    #[test]
    fn upd_18_a_release_says_who_reads_its_data() {
        let (old, mut new) = (release("1.0.0", None), release("1.1.0", None));
        assert_eq!(way(&old, &new), (DataWork::Nothing, false));
        new.data_compatible_from = Some("1.0.5".to_owned());
        assert_eq!(way(&old, &new), (DataWork::Nothing, true));
        new.data_compatible_from = Some("1.0.0".to_owned());
        assert_eq!(way(&old, &new), (DataWork::Nothing, false));
        let old = Release { data_epoch: Some(1), ..old };
        new.data_epoch = Some(2);
        assert_eq!(way(&old, &new), (DataWork::Nothing, true));
    }
}
