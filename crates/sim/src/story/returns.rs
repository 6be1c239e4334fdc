//! Stories in which a person goes back, a version goes back without its data, or the way back begins
//! when nothing can be recorded.

use groundcrew_engine::plan::OnDegraded;

use super::{Do, Story, Wish, offer};
use crate::release::{Health, Migrates, SimRelease};

/// All of them.
pub(super) fn returns() -> Vec<Story> {
    let plain = SimRelease::good("1.0.1", 1);
    let never = SimRelease::good("1.1.0", 2).migrating(Migrates::Well);
    let undoes = never.clone().undoing(Migrates::Well, 1);
    let half = never.clone().undoing(Migrates::Fails, 1);
    let of = |name: &'static str, release: &SimRelease, wish: Wish| {
        let mut story = Story::of(&offer(name, release.clone(), false), 2);
        story.wishes = vec![wish];
        story
    };
    let mut stories = vec![
        of("taken back with its data", &never, Wish::TakeBack(true)),
        of("taken back, the data stays", &plain, Wish::TakeBack(false)),
        of("taken back, the migration is undone", &undoes, Wish::TakeBack(false)),
        of("taken back, undoing fails", &half, Wish::TakeBack(false)),
        of("left with the data of then", &never, Wish::Return(true)),
        of("left, the data stays", &plain, Wish::Return(false)),
        of("left, the migration is undone", &undoes, Wish::Return(false)),
    ];
    let mut cannot = of("left, undoing fails", &half, Wish::Return(false));
    (cannot.ends_with, cannot.ends_in) = (Some("1.1.0"), "idle");
    stories.push(cannot);
    let ill = |release: &SimRelease| release.clone().feeling(Health::IllAfter(8));
    let alone = |name, release: &SimRelease| {
        let mut story = Story::of(&offer(name, ill(release), false), 2);
        story.on_degraded = OnDegraded::Version;
        story
    };
    stories.push(alone("ill under watch, the migration is undone", &undoes));
    stories.push(alone("ill under watch, undoing fails", &half));
    let mut stays = alone("ill under watch, the version cannot go back alone", &never);
    (stays.ends_with, stays.ends_in) = (Some("1.1.0"), "idle");
    stories.push(stays);
    for on in ["fetched", "cleared", "stopped", "switched", "migrated", "started"] {
        let busy = Do::Busy(Some("a flight is in progress"));
        let left = of("left with the data of then", &never, Wish::Return(true));
        stories.push(left.clone().named(&format!("busy at {on}")).on_second(on, busy));
        let full = Do::JournalFull { ballast_helps: false };
        stories.push(left.clone().named(&format!("journal full at {on}")).on_second(on, full));
    }
    for on in ["rb-stopped", "rb-migrated", "rb-switched"] {
        let taken = of("taken back, the migration is undone", &undoes, Wish::TakeBack(false));
        let meddled = taken.clone().named(&format!("an engine starts it at {on}"));
        stories.push(meddled.on(on, Do::StartBehindOurBack));
        let full = Do::JournalFull { ballast_helps: false };
        stories.push(taken.named(&format!("journal full at {on}")).on(on, full));
    }
    stories.extend(verdicts(&plain, &never));
    stories
}

/// The journal is lost at the very verdict of the watch, so the way back is begun from memory while
/// the journal still says "watching"; the next agent must find it again.
fn verdicts(plain: &SimRelease, migrates: &SimRelease) -> Vec<Story> {
    let mut stories = Vec::new();
    for release in [plain, migrates] {
        for ballast_helps in [true, false] {
            let what = if ballast_helps { "the ballast helps" } else { "nothing helps" };
            let ill = release.clone().feeling(Health::IllAfter(8));
            let name = "journal full at the verdict of a watch";
            let story = Story::of(&offer(name, ill, false), 2);
            let story = story.named(&format!("{}, {what}", release.version));
            stories.push(story.on("verdict", Do::JournalFull { ballast_helps }));
        }
    }
    stories
}
