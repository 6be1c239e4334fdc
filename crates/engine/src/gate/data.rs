//! What a candidate does to the data, and whether there is a way back for it (UPD-5, UPD-18).

use super::facts::GateFacts;
use super::judge::approve_command;
use super::{Answer, GateId};
use crate::data;
use crate::noun::{Offer, Release};
use crate::plan::DataWork;
use crate::policy::Policy;

/// UPD-5, UPD-18: a candidate whose data the running release could not read again, or one that
/// cannot read the data there is.
pub(super) fn data(policy: &Policy, facts: &GateFacts) -> Answer {
    let Some(current) = &facts.current else { return Answer::pass(GateId::Data) };
    let offer = &facts.offer;
    let form = policy.version_form;
    if data::is_back(form, current, &offer.release) {
        return data_back(policy, current, offer);
    }
    if let Some(reason) = beyond_reach(policy, current, &offer.release) {
        return Answer::ask(GateId::Data, reason, approve_command(policy, offer));
    }
    if let (Some(from), Some(to)) = (current.data_epoch, offer.release.data_epoch)
        && to < from
    {
        let reason = format!("data epoch {to} is older than {from}, which is in use");
        return Answer::hold(GateId::Data, reason, GO_BACK);
    }
    // Once such a release is proven, going back loses what was written since.
    match data::unreadable(form, &offer.release, current) {
        Some(why) => {
            let new = &offer.release.version;
            let reason =
                format!("{why}: once {new} is proven, the only way back is the data of before");
            Answer::ask(GateId::Data, reason, approve_command(policy, offer))
        }
        None => Answer::pass(GateId::Data),
    }
}

/// UPD-18: data that no volume of the app holds does not come back by itself.
fn beyond_reach(policy: &Policy, current: &Release, new: &Release) -> Option<String> {
    let migrates = new.migration.is_some();
    if policy.procedure.volumes.is_empty() && migrates {
        return Some("it migrates data that no volume of the app holds: no way back for it".into());
    }
    if !policy.external_data {
        return None;
    }
    let moves = matches!((current.data_epoch, new.data_epoch), (Some(from), Some(to)) if from < to);
    let what = if migrates { "migrates data" } else { "moves its data to another epoch" };
    (migrates || moves).then(|| {
        format!("it {what}, and some of it is external: that part has no way back but yours")
    })
}

/// The way out of a downgrade that the data does not allow.
const GO_BACK: &str =
    "`groundcrew rollback APP RELEASE --restore-data` brings back the data of then";

/// An older release: it runs on the data as it is, or as the present one can make it.
fn data_back(policy: &Policy, current: &Release, offer: &Offer) -> Answer {
    let (form, older) = (policy.version_form, &offer.release);
    if let Some(why) = data::unreadable(form, current, older) {
        return Answer::hold(GateId::Data, why, GO_BACK);
    }
    let work = data::passage(form, Some(current), older).work;
    match (data::one_way(form, older, current), work) {
        (None, DataWork::Down) if policy.external_data || policy.procedure.volumes.is_empty() => {
            let reason = format!(
                "{} undoes its migration, on data that does not come back by itself",
                current.version
            );
            Answer::ask(GateId::Data, reason, approve_command(policy, offer))
        }
        (None, DataWork::Down) => {
            Answer::remark(GateId::Data, format!("{} undoes its migration", current.version))
        }
        (None, _) if older.data_epoch.is_some() && older.data_epoch < current.data_epoch => {
            let reason = format!("{} reads older data than there is", older.version);
            Answer::hold(GateId::Data, reason, GO_BACK)
        }
        (None, _) => Answer::pass(GateId::Data),
        (Some(why), _) if older.data_epoch.is_some() && older.data_epoch < current.data_epoch => {
            Answer::hold(GateId::Data, why, GO_BACK)
        }
        (Some(why), _) => Answer::ask(GateId::Data, why, approve_command(policy, offer)),
    }
}
