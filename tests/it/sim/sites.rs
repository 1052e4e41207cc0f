//! What can go wrong in a simulated run, by name, and how often it did.
//!
//! Owns the list of faults and of the things that must be seen at least once. A campaign in which one of
//! them never happened has proved nothing about it, and fails.

use std::collections::BTreeMap;

macro_rules! sites {
    ($($name:ident $fault:literal $what:literal,)*) => {
        /// A place where something goes wrong, or a thing that is to be met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Site {
            $(#[doc = $what] $name,)*
        }

        impl Site {
            /// All of them.
            pub const ALL: &[Site] = &[$(Site::$name,)*];

            /// The fault of the list that it belongs to; `met` for what must be seen to happen.
            pub const fn fault(self) -> &'static str {
                match self { $(Site::$name => $fault,)* }
            }

            /// In words.
            pub const fn what(self) -> &'static str {
                match self { $(Site::$name => $what,)* }
            }
        }
    };
}

sites! {
    CrashAtPoll "F1" "a life ends before a poll",
    CrashBeforeEffect "F1" "a life ends before an effect",
    CrashAfterEffect "F1" "a life ends behind an effect",
    D1Refused "F2" "D1 refuses a call",
    StorageRefused "F2" "an object's storage refuses a write",
    D1AnswerLost "F3" "D1 stores, and its answer is lost",
    D1LostAndLate "F4" "D1's answer is lost, and it stores later",
    D1Late "F4" "D1 answers late",
    D1Hangs "F4" "D1 never answers",
    D1Away "F4" "D1 is away for a while",
    D1Overloaded "F5" "D1 is overloaded",
    D1Full "F6" "D1 is full",
    StorageFull "F6" "an object's storage is full",
    D1Constraint "F7" "D1 names a constraint",
    StaleSweep "F8" "the cron acts on a list that is a minute old",
    LeaseExpired "F9" "a lease ends while its holder stands still",
    ClockAhead "F10" "a clock jumps ten minutes ahead",
    ClockBehind "F10" "a clock jumps ten minutes back",
    ClockStill "F10" "a clock stands still",
    FrameRepeated "F11" "an upstream repeats a frame",
    FramesSwapped "F12" "an upstream swaps two frames",
    CutWithin "F13" "a stream is cut within a frame",
    CleanEnd "F14" "a stream ends without its last frame",
    FailsAfterText "F15" "an upstream fails behind partial text",
    Stall "F16" "a stream falls silent",
    HeadLost "F17" "a start arrives, its answer does not",
    NoHead "F17" "a request is never answered",
    EndsTwice "F18" "an upstream ends twice",
    GoesOn "F19" "an upstream goes on behind its end",
    HugeFrame "F20" "a frame of 3 MB",
    TooMany "F21" "an upstream answers 429",
    Unavailable "F21" "an upstream answers 503 with Retry-After",
    Redirect "F21" "an upstream answers 302",
    ClientLeft "F22" "a client leaves",
    ClientSlow "F23" "a client reads slowly",
    ClientStopped "F23" "a client stops reading",
    CursorLow "F24" "a client reads again from the start",
    CursorHigh "F24" "a client resumes beyond the end",
    CursorNegative "F24" "a client resumes below the start",
    CursorOfAnother "F24" "a client resumes with another run's cursor",
    ManyPosts "F25" "one turn is posted twenty times at once",
    OtherBody "F25" "a key comes with another body",
    CancelAtEnd "F26" "a cancel comes as a turn ends",
    Zombie "F27" "a replaced instance goes on",
    ZombieDied "F27" "a replaced instance touches its storage",
    Deploy "F28" "other settings are deployed, and every life ends",
    Rollback "F28" "a newer version has made the schema",
    Evicted "F29" "an object at rest is evicted",
    Panic "F30" "a panic takes every session of its isolate along",
    AlarmTwice "F31" "an alarm fires twice",
    AlarmEarly "F31" "an alarm fires early",
    AlarmLate "F31" "an alarm fires a minute late",
    AlarmLost "F31" "an alarm is lost",
    AlarmInStream "F31" "an alarm fires while a turn streams",
    AlarmAfterEnd "F31" "an alarm fires behind a turn's end",
    StorageLost "beside" "an object loses its storage",
    Reattached "met" "an upstream was attached to again",
    FenceRejected "met" "a stale writer was fenced",
    OwnCommitFound "met" "a commit whose answer was lost was recognised",
    ReplayCrossedCommit "met" "a client resumed in the middle of a commit",
    ResumedAtTail "met" "a client resumed at the end of what there was",
    ResumedBehindEnd "met" "a client came back behind a turn's end",
    EventStream "met" "a client reads server-sent events",
    LastEventZero "met" "a client has seen the first event alone",
    Erased "met" "an erased session was asked for what it had",
    ErasedAgain "met" "a session that was used behind its erasure is erased again",
    ManyRows "met" "a turn has more rows than three pages",
    ManySteps "met" "a task has more than 200 steps",
    ManyEvents "met" "a task has more than 100 events",
    ShipInParts "met" "a ship took as many steps or events as one takes",
    Dropped "met" "an object has let lines go that D1 has",
    Expired "met" "D1 has let lines go",
    HalfAtEnd "met" "a text is cut within an emoji, delta by delta",
    LateCommitCollided "met" "a late commit met what came after it",
    LargePlain "met" "a plain turn had more lines and rows than three pages",
    OtherTerms "met" "a plain turn was taken over by another deployment",
    LateRenewal "met" "a lease had less than a third left: its renewals were late or lost",
}

/// How often each happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Site, u64>);

impl Counts {
    /// One more.
    pub fn add(&mut self, site: Site) {
        *self.0.entry(site).or_default() += 1;
    }

    /// Those of another run.
    pub fn merge(&mut self, other: &Counts) {
        for (site, count) in &other.0 {
            *self.0.entry(*site).or_default() += count;
        }
    }

    /// How often.
    pub fn of(&self, site: Site) -> u64 {
        self.0.get(&site).copied().unwrap_or_default()
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<Site> {
        let all = Site::ALL.iter().copied();
        all.filter(|site| self.of(*site) == 0).collect()
    }

    /// All together, but for what is only met.
    pub fn faults(&self) -> u64 {
        let counted = self.0.iter().filter(|(site, _)| site.fault() != "met");
        counted.map(|(_, count)| count).sum()
    }
}
