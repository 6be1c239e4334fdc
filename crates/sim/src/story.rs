//! Stories: what is on offer, what happens meanwhile, and how it must end.
//!
//! A story is data. `all()` multiplies candidates by environments; each is run calmly once and
//! then with the power cut, and with the agent killed, at every point.

mod returns;

use groundcrew_engine::noun::Fault;
use groundcrew_engine::plan::OnDegraded;
use groundcrew_engine::policy::Mode;

use crate::release::{Health, Migrates, SimRelease, Starts};

/// Something that happens to the machine when an event is recorded.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The event's name.
    pub on: &'static str,
    /// Times that the event passes before.
    pub skip: u32,
    /// What happens.
    pub then: Do,
    /// It happened.
    pub fired: bool,
}

/// What can happen to a machine.
#[derive(Clone, Debug)]
pub enum Do {
    /// The busy flag is set, or cleared.
    Busy(Option<&'static str>),
    /// The channel moves.
    Channel(&'static str),
    /// The journal's disk is full; freeing the ballast helps or not.
    JournalFull {
        /// It does.
        ballast_helps: bool,
    },
    /// The wall clock jumps.
    StepTheClock(i64),
    /// An effect fails so many times.
    Fail(&'static str, u32, Fault),
    /// An engine starts what is in place.
    StartBehindOurBack,
    /// The app dies.
    KillTheApp,
    /// The app's first volume is deleted.
    DeleteVolume,
}

/// What a person does when nothing moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Lets a held candidate through.
    Approve,
    /// Clears known-bad and takes a stuck update up again.
    Unblock,
    /// Takes a stuck update up again.
    Unstick,
    /// Stops the app under watch, and starts it again later.
    StopUnderWatch,
    /// Calls an unproven release good.
    CallGood,
    /// Pins the app to a version.
    Pin(&'static str),
    /// Takes an accepted update back; true: its data comes back too.
    TakeBack(bool),
    /// Goes back to the release before, after it was proven; true: with the data of then.
    Return(bool),
}

/// One story.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its name.
    pub name: String,
    /// Volumes of the app.
    pub volumes: usize,
    /// What runs at the beginning.
    pub installed: Option<&'static str>,
    /// All releases there are.
    pub releases: Vec<SimRelease>,
    /// What the channel names at the beginning.
    pub channel: &'static str,
    /// What happens.
    pub triggers: Vec<Trigger>,
    /// Effects that fail from the beginning.
    pub failing: Vec<(&'static str, u32, Fault)>,
    /// An engine with a restart policy of its own.
    pub self_starting: bool,
    /// What follows when the watch finds it degraded.
    pub on_degraded: OnDegraded,
    /// Who starts updates.
    pub mode: Mode,
    /// What a person does.
    pub wishes: Vec<Wish>,
    /// What runs in the end.
    pub ends_with: Option<&'static str>,
    /// The state in the end.
    pub ends_in: &'static str,
}

/// A candidate and how an update to it ends when nothing else happens.
struct Offer {
    name: &'static str,
    release: SimRelease,
    ends_with: &'static str,
    ends_in: &'static str,
    wishes: &'static [Wish],
    on_degraded: OnDegraded,
}

const OLD: SimRelease = SimRelease::good("1.0.0", 1);

fn offer(name: &'static str, release: SimRelease, good: bool) -> Offer {
    let (ends_with, ends_in) = if good { (release.version, "idle") } else { ("1.0.0", "held") };
    let on_degraded = OnDegraded::VersionAndData;
    Offer { name, release, ends_with, ends_in, wishes: &[], on_degraded }
}

fn offers() -> Vec<Offer> {
    let patch = SimRelease::good("1.0.1", 1);
    let minor = SimRelease::good("1.1.0", 2);
    let major = SimRelease::good("2.0.0", 1);
    let ill_patch = patch.clone();
    let ill_later = patch.clone().feeling(Health::IllAfter(8));
    vec![
        offer("a good patch", patch.clone(), true),
        offer("a good migration", minor.clone().migrating(Migrates::Well), true),
        offer("a failing migration", minor.clone().migrating(Migrates::Fails), false),
        offer(
            "a damaging migration",
            minor.clone().migrating(Migrates::Damages).feeling(Health::Ill),
            false,
        ),
        offer("it exits at once", patch.clone().starting(Starts::Exits), false),
        offer("it dies while it is proven", patch.clone().starting(Starts::DiesAfter(2)), false),
        offer("it dies under watch", patch.clone().starting(Starts::DiesAfter(9)), false),
        offer("it is ill", patch.clone().feeling(Health::Ill), false),
        offer("it falls ill under watch", ill_later.clone(), false),
        offer("a short glitch", patch.clone().feeling(Health::Glitch(2)), true),
        Offer {
            ends_with: "1.0.1",
            ends_in: "idle",
            on_degraded: OnDegraded::Alert,
            ..offer("ill under watch, a person is told", ill_later.clone(), false)
        },
        Offer {
            on_degraded: OnDegraded::Version,
            ..offer("ill under watch, the version goes back", ill_later, false)
        },
        Offer { ..offer("a bad signature", SimRelease { refused: true, ..patch.clone() }, false) },
        offer("a major", major.clone(), false),
        Offer {
            wishes: &[Wish::Approve],
            ends_with: "2.0.0",
            ends_in: "idle",
            ..offer("a major, approved", major, false)
        },
        offer("notes ask for a person", patch.noting("Before upgrading, run the tool."), false),
        Offer {
            wishes: &[Wish::Unblock],
            ..offer("ill, unblocked, ill again", ill_patch.feeling(Health::Ill), false)
        },
    ]
}

impl Story {
    /// A person goes back in it.
    #[must_use]
    pub fn goes_back(&self) -> bool {
        let back = |wish: &Wish| matches!(wish, Wish::TakeBack(_) | Wish::Return(_));
        self.wishes.iter().any(back)
    }

    fn of(offer: &Offer, volumes: usize) -> Self {
        Self {
            name: format!("{}, {volumes} volumes", offer.name),
            volumes,
            installed: Some("1.0.0"),
            releases: vec![OLD, offer.release.clone()],
            channel: offer.release.version,
            triggers: Vec::new(),
            failing: Vec::new(),
            self_starting: false,
            on_degraded: offer.on_degraded,
            mode: Mode::Auto,
            wishes: offer.wishes.to_vec(),
            ends_with: Some(offer.ends_with),
            ends_in: offer.ends_in,
        }
    }

    fn named(mut self, what: &str) -> Self {
        self.name = format!("{}; {what}", self.name);
        self
    }

    fn on(mut self, on: &'static str, then: Do) -> Self {
        self.triggers.push(Trigger { on, skip: 0, then, fired: false });
        self
    }

    /// The second time that the event is recorded: in the update that a person ordered.
    fn on_second(mut self, on: &'static str, then: Do) -> Self {
        self.triggers.push(Trigger { on, skip: 1, then, fired: false });
        self
    }
}

/// All stories.
#[must_use]
pub fn all() -> Vec<Story> {
    let offers = offers();
    let mut stories: Vec<Story> = Vec::new();
    for volumes in 0..=2 {
        stories.extend(
            offers
                .iter()
                .filter(|offer| fits(offer, volumes))
                .map(|offer| Story::of(offer, volumes)),
        );
    }
    stories.extend(first_installations(&offers));
    let by_name = |name: &str| offers.iter().find(|offer| offer.name == name);
    for name in ["a good migration", "a damaging migration", "it falls ill under watch"] {
        let Some(offer) = by_name(name) else { continue };
        stories.extend(busy(offer));
        stories.extend(full_journal(offer));
        stories.extend(failing_effects(offer));
        stories.extend(meddlers(offer));
    }
    stories.extend(successions());
    stories.extend(returns::returns());
    stories
}

/// A migration of an app without volumes asks a person; the other stories cover that.
fn fits(offer: &Offer, volumes: usize) -> bool {
    volumes > 0 || offer.release.epoch == 1
}

fn first_installations(offers: &[Offer]) -> Vec<Story> {
    let names = ["a good patch", "it exits at once", "it is ill", "it falls ill under watch"];
    let mut stories = Vec::new();
    for offer in offers.iter().filter(|offer| names.contains(&offer.name)) {
        let mut story = Story::of(offer, 2).named("first installation");
        story.installed = None;
        if offer.ends_in == "held" {
            story.ends_with = None;
        }
        stories.push(story);
    }
    stories
}

/// The busy flag appears at each point and clears when nothing moves any more.
fn busy(offer: &Offer) -> Vec<Story> {
    let events = [
        "found",
        "fetched",
        "armed",
        "prepared",
        "precopied",
        "cleared",
        "stopped",
        "snapshotted",
        "switched",
        "migrated",
        "started",
        "disproved",
        "rb-stopped",
        "rb-restored",
        "rb-switched",
        "opened",
    ];
    let story = |on: &&'static str| {
        Story::of(offer, 2)
            .named(&format!("busy at {on}"))
            .on(on, Do::Busy(Some("a flight is in progress")))
    };
    let second = |on: &'static str| {
        let what = format!("busy at {on}, the second time");
        Story::of(offer, 2).named(&what).on_second(on, Do::Busy(Some("a flight is in progress")))
    };
    // A launcher sets its flag in the instant after the marker was set: before the stop, in it, and
    // before the stop of the candidate.
    let announced = |skip: u32| {
        let what = format!("busy once it was announced {} times", skip + 1);
        let then = Do::Busy(Some("a flight is in progress"));
        let trigger = Trigger { on: "announced", skip, then, fired: false };
        let mut story = Story::of(offer, 2).named(&what);
        story.triggers.push(trigger);
        story
    };
    events
        .iter()
        .map(story)
        .chain(["stopped", "snapshotted"].map(second))
        .chain((0..4).map(announced))
        .collect()
}

fn full_journal(offer: &Offer) -> Vec<Story> {
    let events = [
        "fetched",
        "prepared",
        "cleared",
        "stopped",
        "snapshotted",
        "switched",
        "migrated",
        "started",
        "proved",
        "opened",
        "evidence-kept",
        "disproved",
        "rb-stopped",
        "rb-built",
        "rb-restored",
        "rb-switched",
    ];
    let mut stories = Vec::new();
    for on in events {
        for ballast_helps in [true, false] {
            let what = if ballast_helps { "the ballast helps" } else { "nothing helps" };
            stories.push(
                Story::of(offer, 2)
                    .named(&format!("journal full at {on}, {what}"))
                    .on(on, Do::JournalFull { ballast_helps }),
            );
        }
    }
    stories
}

/// Effects of the host that fail once, and then work.
fn failing_effects(offer: &Offer) -> Vec<Story> {
    let effects = [
        "fetch",
        "reserve",
        "copy",
        "switch",
        "hook",
        "hook open",
        "stop",
        "build",
        "exchange",
        "announce",
        "find",
        "room",
        "check",
        "neighbor",
        "exclude",
        "file",
        "start",
    ];
    let story = |effect: &&'static str| {
        let mut story = Story::of(offer, 2).named(&format!("{effect} fails once"));
        let error = "input/output error";
        // A hook is the host's, whatever the runtime says of how it ended.
        let hook = effect.starts_with("hook");
        let fault = if hook { Fault::candidate(error) } else { Fault::host(error) };
        story.failing.push((effect, 1, fault));
        story
    };
    effects.iter().map(story).collect()
}

/// Somebody else has a hand in it.
fn meddlers(offer: &Offer) -> Vec<Story> {
    let of = |what: &str| Story::of(offer, 2).named(what);
    let mut stories = Vec::new();
    for on in ["stopped", "snapshotted", "switched", "rb-stopped", "rb-restored", "rb-switched"] {
        let what = format!("an engine starts it at {on}");
        stories.push(of(&what).on(on, Do::StartBehindOurBack));
    }
    for on in ["cleared", "armed", "started", "opened"] {
        let what = format!("the clock jumps a year back at {on}");
        stories.push(of(&what).on(on, Do::StepTheClock(-31_536_000_000)));
        let what = format!("the clock jumps a year ahead at {on}");
        stories.push(of(&what).on(on, Do::StepTheClock(31_536_000_000)));
    }
    for on in ["found", "prepared", "cleared"] {
        stories.push(of(&format!("the app dies at {on}")).on(on, Do::KillTheApp));
    }
    stories.push(of("its volume is deleted").on("disproved", Do::DeleteVolume));
    let ill = Do::Fail("hook close", 9, Fault::host("it answers no more"));
    stories.push(of("an ill candidate cannot keep users out").on("disproved", ill));
    let mut own_restarts = of("the engine restarts what is down");
    own_restarts.self_starting = true;
    stories.push(own_restarts);
    let mut lies = of("a probe is red for a moment before");
    lies.failing.push(("probe", 1, Fault::host("timeout")));
    lies.wishes.push(Wish::Approve);
    stories.push(lies);
    stories
}

/// One release after another.
fn successions() -> Vec<Story> {
    let bad = SimRelease::good("1.0.1", 1).feeling(Health::Ill);
    let good = SimRelease::good("1.0.2", 1);
    let base = Story::of(&offer("a bad one, then a good one", bad, false), 2);
    let mut heals = base.clone().named("superseded").on("closed RolledBack", Do::Channel("1.0.2"));
    heals.releases.push(good.clone());
    (heals.ends_with, heals.ends_in) = (Some("1.0.2"), "idle");
    let first = SimRelease::good("1.1.0", 2).migrating(Migrates::Well);
    let second = SimRelease::good("1.2.0", 3).migrating(Migrates::Damages).feeling(Health::Ill);
    let mut chain = Story::of(&offer("two in a row, the second bad", first, true), 2)
        .on("closed Proven", Do::Channel("1.2.0"));
    chain.releases.push(second);
    (chain.ends_with, chain.ends_in) = (Some("1.1.0"), "held");
    let mut pinned = Story::of(&offer("pinned", good.clone(), true), 1);
    pinned.releases.push(SimRelease::good("1.0.3", 1));
    pinned.channel = "1.0.3";
    pinned.wishes = vec![Wish::Pin("1.0.2")];
    let mut by_hand = Story::of(&offer("only by hand", good.clone(), true), 1);
    by_hand.mode = Mode::Manual;
    by_hand.wishes = vec![Wish::Approve];
    let ill_later = SimRelease::good("1.0.1", 1).feeling(Health::IllAfter(8));
    let mut called_good = Story::of(&offer("unproven, called good", ill_later.clone(), true), 1);
    called_good.on_degraded = OnDegraded::Alert;
    called_good.wishes = vec![Wish::CallGood];
    let mut newer = Story::of(&offer("unproven, superseded", ill_later, true), 1)
        .on("closed Unproven", Do::Channel("1.0.2"));
    newer.on_degraded = OnDegraded::Alert;
    newer.releases.push(good);
    newer.wishes = vec![Wish::Approve];
    newer.ends_with = Some("1.0.2");
    let mut paused =
        Story::of(&offer("stopped under watch", SimRelease::good("1.0.2", 1), true), 1);
    paused.wishes = vec![Wish::StopUnderWatch];
    let mut gone = Story::of(
        &offer(
            "unblocked after it was withdrawn",
            SimRelease::good("1.0.1", 1).feeling(Health::Ill),
            false,
        ),
        1,
    )
    .on("closed RolledBack", Do::Channel("1.0.0"));
    gone.wishes = vec![Wish::Unblock];
    gone.ends_in = "idle";
    vec![paused, gone, heals, chain, pinned, by_hand, called_good, newer]
}
