// How much is measured: the whole report, or a quick one.
//
// Owns every count and length. `QUICK=1` has the same rows with fewer rounds and smaller scales; its figures are noisier.

/** 50 lines a second, as a quick model writes. */
export const GAP_MS = 20;

/** What keeps up with 4,000 lines a second, or is close to it. */
const ABLE = ["pass", "ai-sdk", "ai-chat", "ours50", "ours110"];
/** What the aims compare ours with. */
const FEW = ["pass", "ai-chat", "ours50"];
/** One of each kind. */
const KINDS = ["pass", "event", "ai-sdk", "ai-chat", "ours50"];

export const FULL = {
  first: { rounds: 20 },
  line: { rounds: 3, lines: 200 },
  burst: { rounds: 3, lines: 5_000 },
  rows: { turns: 2, lines: 400 },
  resume: { rounds: 3, lines: 200, seen: 100 },
  recovery: { rounds: 2 },
  kills: { kills: 50, lines: 60 },
  replay: { rounds: 5, lines: 10_000 },
  viewers: { rounds: 2, viewers: 100, lines: 100 },
  many: { rounds: 2, sessions: 200, lines: 60, gapMs: 50, subjects: ABLE },
  cpu: { rounds: 2, sessions: 10, lines: 300 },
  memory: { rounds: 1, sessions: 200, subjects: KINDS },
  boot: { rounds: 3, subjects: KINDS },
  growth: {
    base: { events: 1_000, turns: 1, sessions: 2, viewers: 1 },
    factors: [1, 10, 100],
    agedSessions: 5,
  },
};

export const QUICK = {
  first: { rounds: 4 },
  line: { rounds: 1, lines: 60 },
  burst: { rounds: 1, lines: 5_000 },
  rows: { turns: 1, lines: 400 },
  resume: { rounds: 1, lines: 60, seen: 30 },
  recovery: { rounds: 1 },
  kills: { kills: 4, lines: 60 },
  replay: { rounds: 2, lines: 10_000 },
  viewers: { rounds: 1, viewers: 100, lines: 50 },
  many: {
    rounds: 1,
    sessions: 200,
    lines: 30,
    gapMs: 50,
    subjects: FEW,
  },
  cpu: { rounds: 1, sessions: 10, lines: 100, subjects: FEW },
  memory: { rounds: 1, sessions: 40, subjects: FEW },
  boot: { rounds: 1, subjects: KINDS },
  growth: {
    base: { events: 200, turns: 1, sessions: 1, viewers: 1 },
    factors: [1, 10, 100],
    agedSessions: 2,
    subjects: ["ours50"],
  },
};
