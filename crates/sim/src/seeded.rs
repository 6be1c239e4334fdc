//! Mistakes that are built in on purpose, to see the tests turn red.
//!
//! Each is one that an engine, a store or a driver could really make. `every_seeded_fault_is_caught`
//! runs the stories with each of them and asks for a violation.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// Store: an append returns before it is durable; a cut loses it.
    AppendIsNotDurable,
    /// Store: intents are not recorded.
    IntentIsNotRecorded,
    /// Store: known-bad is forgotten over a restart.
    KnownBadIsForgotten,
    /// Store: what people should be told is not queued with the event.
    NoticeIsLost,
    /// Engine: an interrupted migration is run again.
    MigrationIsRunAgain,
    /// Engine: last-good moves before the watch has passed.
    LastGoodMovesEarly,
    /// Engine: the way back names another update's snapshot.
    WayBackIsAnothers,
    /// Engine: a new agent does not prove that nobody runs.
    ResumeGoesStraightOn,
    /// Engine: a candidate whose update was interrupted is called bad.
    InterruptedIsCondemned,
    /// Snapshots: a copy that was cut short looks whole.
    PartialCopyLooksWhole,
    /// Snapshots: the copy shares its files with the live data.
    CopySharesFiles,
    /// Snapshots: a copy that was taken before somebody ran is kept.
    StaleCopyIsKept,
    /// Snapshots: only the first volume is brought back.
    RestoreForgetsAVolume,
    /// Snapshots: trees are exchanged without looking at what lies there.
    ExchangeIsBlind,
    /// Snapshots: the failed data is deleted, not set aside.
    FailedDataIsDeleted,
    /// Snapshots: clean-up deletes the open update's copy.
    CleanUpDeletesTheWayBack,
    /// Snapshots: what an interrupted copy left is never removed.
    PartialsStay,
    /// Runtime: stop returns while the app still runs.
    StopReturnsEarly,
    /// Runtime: a start that nobody asked for is not reported.
    StopHidesThatItRan,
    /// Runtime: a running app is not noticed before a start.
    SecondCopyIsStarted,
    /// Runtime: the switch is not durable; a loss of power undoes it.
    SwitchIsNotDurable,
    /// Runtime: a switch back is labelled like one forward.
    SwitchBackIsNotLabelled,
    /// Runtime: the hook that lets users in does nothing.
    TrafficStaysClosed,
    /// Source: a fetch that was cut short looks whole.
    PartialFetchLooksWhole,
    /// Source: clean-up deletes the release to return to.
    CleanUpDeletesLastGood,
    /// Host: the busy flag is read as clear.
    BusyIsIgnored,
    /// Host: the marker is not set before a stop.
    StopIsNotAnnounced,
    /// Host: the marker stays set.
    MarkerStays,
    /// Host: the exclusion group is never given back.
    GroupStaysTaken,
    /// Probes: a cache answers for the app.
    ProbeIsCached,
    /// Store: the plan and its reserved room stay behind.
    PlanStays,
}

impl Seeded {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AppendIsNotDurable,
        Self::IntentIsNotRecorded,
        Self::KnownBadIsForgotten,
        Self::NoticeIsLost,
        Self::MigrationIsRunAgain,
        Self::LastGoodMovesEarly,
        Self::WayBackIsAnothers,
        Self::ResumeGoesStraightOn,
        Self::InterruptedIsCondemned,
        Self::PartialCopyLooksWhole,
        Self::CopySharesFiles,
        Self::StaleCopyIsKept,
        Self::RestoreForgetsAVolume,
        Self::ExchangeIsBlind,
        Self::FailedDataIsDeleted,
        Self::CleanUpDeletesTheWayBack,
        Self::PartialsStay,
        Self::StopReturnsEarly,
        Self::StopHidesThatItRan,
        Self::SecondCopyIsStarted,
        Self::SwitchIsNotDurable,
        Self::SwitchBackIsNotLabelled,
        Self::TrafficStaysClosed,
        Self::PartialFetchLooksWhole,
        Self::CleanUpDeletesLastGood,
        Self::BusyIsIgnored,
        Self::StopIsNotAnnounced,
        Self::MarkerStays,
        Self::GroupStaysTaken,
        Self::ProbeIsCached,
        Self::PlanStays,
    ];
}
