//! Whether somebody offers what a person asks for, before it is recorded as a wish.

use groundcrew_engine::ports::{Follow, SourceErrorKind};

use super::world::{source_of, versions};
use crate::config::{Settings, nearest};
use crate::exit::{Exit, Refusal};

/// Versions that are named when another one was asked for, the latest ones.
const NAMED_MAX: usize = 10;

/// Whether a version, digest or revision can be pinned: its source has it, or it lies here.
///
/// # Errors
///
/// `Usage`: nobody has it, and what there is. `Unreachable`: it cannot be told now.
pub(crate) fn check(settings: &Settings, name: &str, to: &str) -> Result<(), Refusal> {
    let Some(app) = settings.apps.get(name) else { return Err(settings.no_such_app(name)) };
    match source_of(settings, app).find(&Follow::Pin(to.to_owned())) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            let all = versions(settings, app).unwrap_or_default();
            Err(Refusal::usage(format!("nobody offers {to:?} of {name}; {}", instead(to, &all))))
        }
        Err(error) if error.kind == SourceErrorKind::Refuse => Err(Refusal::usage(error.text)),
        Err(error) => Err(Refusal::new(
            Exit::Unreachable,
            format!("{name}: it cannot be told whether {to:?} is offered: {}", error.text),
        )),
    }
}

fn instead(to: &str, all: &[String]) -> String {
    if all.is_empty() {
        return "nothing is offered".to_owned();
    }
    let skip = all.len().saturating_sub(NAMED_MAX);
    let latest = all.iter().skip(skip).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if skip > 0 { format!(" and {skip} older ones") } else { String::new() };
    let near = nearest(to, all.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("did you mean {near:?}? "));
    format!("{near}there are: {latest}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_named_the_nearest_first_and_not_all_of_it() {
        let all: Vec<String> = (0..14).map(|minor| format!("1.{minor}.0")).collect();
        let said = instead("1.13.1", &all);
        assert!(said.starts_with("did you mean \"1.13.0\"? there are: 1.4.0, "), "{said}");
        assert!(said.ends_with("1.13.0 and 4 older ones"), "{said}");
        assert_eq!(instead("x", &[]), "nothing is offered");
    }
}
