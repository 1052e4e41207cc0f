// What is aimed at, as ratios within one run.
//
// Owns the aims as data and their verdicts. Pure. An aim whose figures a run doesn't have is not judged. `why` says what
// stands in the way where a run misses it.

import { AI_CHAT, AI_SDK, DEFAULT, EVENT, OURS, PASS } from "./subjects.mjs";

const [P, N, A, B] = [PASS, EVENT, AI_SDK, AI_CHAT].map(({ key }) => key);
const [O0, O, O110] = OURS.map(({ key }) => key);

const PROFILE =
  "perf over ten sessions at 50/s, default window: 12 % of the CPU is the commits of SQLite (9 % their fsync), 12 % its " +
  "statements, 8 % the pumps of streams between object, Worker and client, 4 % the engine's compiling; most of the rest is the " +
  "runtime's own for each chunk, timer and write that enters the isolate.";

/** `of(get)` is the measured value, `get(figure, subject)` a median; it is to be at `most` or at `least` that. */
export const AIMS = [
  {
    text: "burst, times as quick as N",
    of: (get) => get("burst.ms", N) / get("burst.ms", O),
    least: 30,
    unit: "×",
  },
  {
    text: "burst over P",
    of: (get) => get("burst.ms", O) / get("burst.ms", P),
    most: 4,
    unit: "×",
    why:
      "the pass-through copies bytes without looking at them. Ours parses each frame, numbers it, stores it and reads it back " +
      "for its readers: the growth row has the CPU a line of that.",
  },
  {
    text: "rows over N, default window",
    of: (get) => get("rows.next", O) / get("rows.next", N),
    most: 0.15,
    unit: "×",
    why: "eight seconds in windows of 50 ms are up to 160 commits of a row each; what accepts, arms, ships and ends the turn comes on top.",
  },
  {
    text: "rows over A, window 110 ms",
    of: (get) => get("rows.next", O110) / get("rows.next", A),
    most: 1,
    unit: "×",
    why:
      "eight seconds in windows of 110 ms are up to 73 commits of a row each, and some thirty rows accept, arm, end the turn and bring " +
      "it to D1. ai-chat stores every tenth line, which is each 200 ms here, in its object alone; what it loses by that is in the row of kills.",
  },
  {
    text: "first line of a new session over A, its connecting included",
    of: (get) => get("first.loaded", O) / get("first.loaded", A),
    most: 1,
    unit: "×",
  },
  {
    text: "first line of a next turn over A",
    of: (get) => get("first.next", O) / get("first.next", A),
    most: 1,
    unit: "×",
  },
  {
    text: "lines lost or doubled by kills",
    of: (get) => get("kills.lost", O) + get("kills.doubled", O),
    most: 0,
    unit: "lines",
  },
  {
    text: "… of A, where it is more than none",
    of: (get) => get("kills.lost", A) + get("kills.doubled", A),
    least: 1,
    unit: "lines",
  },
  ...OURS.map(({ key, windowMs }) => ({
    text: `p50 added to a line, window ${windowMs} ms`,
    of: (get) => get("line.p50.above", key),
    most: windowMs / 2 + 5,
    unit: "ms",
  })),
  {
    text: "p50 of a line over N, window 0 ms",
    of: (get) => get("line.p50", O0) / get("line.p50", N),
    most: 1,
    unit: "×",
  },
  {
    text: "replay, times as quick as P with the same bytes",
    of: (get) => get("replay.ms", P) / get("replay.ms", O),
    least: 0.5,
    unit: "×",
    why: "it is at the bound: its rounds lie on both sides.",
  },
  {
    text: "200 sessions, p99 over P",
    of: (get) => get("many.p99", O) / get("many.p99", P),
    most: 3,
    unit: "×",
    why:
      "a line each 50 ms with a window of 50 ms is a commit a line, and each object has a database file of its own: perf counted " +
      "8,146 and 8,515 fsyncs for 12,000 lines in two runs, all on the one thread of the process. The pass-through stores nothing; ai-chat alone syncs each tenth line.",
  },
  {
    text: "CPU over P",
    of: (get) => get("cpu.thousand", O) / get("cpu.thousand", P),
    most: 4,
    unit: "×",
    why: PROFILE,
  },
  {
    text: "CPU over B",
    of: (get) => get("cpu.thousand", O) / get("cpu.thousand", B),
    most: 0.7,
    unit: "×",
    why: "of its lines ai-chat alone syncs each tenth, ours each group within 50 ms before anyone sees it. What ours takes is as above.",
  },
  {
    text: "bytes on resume in mid-turn over bytes missing",
    of: (get) => get("resume.mid", O),
    most: 1,
    unit: "×",
  },
  { text: "… after the end", of: (get) => get("resume.end", O), most: 1, unit: "×" },
  {
    text: "exponent of cost a line in turn length",
    of: (get) => get("growth.events", O),
    most: 0.1,
    unit: "",
  },
  {
    text: "exponent of cost a line in session age",
    of: (get) => get("growth.turns", O),
    most: 0.1,
    unit: "",
  },
];

/** Each aim with its `value` and whether it is `met`; both are null when a figure is missing. */
export function judge(figures, aims = AIMS) {
  const medians = new Map(figures.map(({ key, by }) => [key, by]));
  const get = (key, subject) => medians.get(key)?.[subject]?.median ?? Number.NaN;
  return aims.map(({ text, of, most, least, unit, why }) => {
    const value = of(get);
    if (!Number.isFinite(value)) return { text, most, least, unit, why, value: null, met: null };
    const met = most === undefined ? value >= least : value <= most;
    return { text, most, least, unit, why, value, met };
  });
}
