// What a session asks and how its clients behave: a function of the seed alone.
//
// Owns the choice of turns, scripts and clients. It performs nothing and knows no process.
// Invariant: the first turns of a campaign's sessions between them hold every fault of the upstream and every kind of
// client, so that a short campaign leaves none of them to chance.

import { scripted } from "../miniflare/openai_upstream.mjs";
import { framesOf, linesFor } from "../miniflare/upstream.mjs";

/** Starts that a chat completion may have; SIGKILLs take some of them. */
export const STARTS = 12;

const SIX = "1 + 1; 2 * 3; 9 - 4; 8 / 2; 7 * 7; 10 - 1";
const FOUND =
  "6 found:\n" +
  ["1 + 1 = 2", "2 * 3 = 6", "9 - 4 = 5", "8 / 2 = 4", "7 * 7 = 49", "10 - 1 = 9"]
    .map((found) => `- ${found} (calculator)\n`)
    .join("");

/** Each gives the connections of an execution that suffer it, `n` being a frame of the script. */
const FAULTS = {
  dropAfter: (n) => [{ dropAfter: n }],
  closeAfter: (n) => [{ closeAfter: n }],
  stallAfter: (n) => [{ stallAfter: n }],
  cutMidFrame: (n) => [{ cutMidFrame: n }],
  cutMidUtf8: (n) => [{ cutMidUtf8: n }],
  repeatFrames: (n) => [{ dropAfter: n }, { repeatFrames: 1 + (n % 5) }],
  replayAll: (n) => [{ dropAfter: n }, { replayAll: true }],
  dropBeforeHead: () => [{ dropBeforeHead: true }],
  startFirst: () => [{ status: 503, startFirst: true }],
  "status 503": () => [{ status: 503 }],
  "status 429": () => [{ status: 429, retryAfter: 1 }],
  "status 410": (n) => [{ dropAfter: n }, { status: 410 }],
};
const CHAT_FAULTS = ["dropAfter", "closeAfter", "stallAfter"];

/** Kinds of clients that a turn is forced to have, in the order of the sessions. */
const FORCED = ["burst", "otherBody", "alone", "cancelMid", "cancelEnd", "leaves", "slow", "sse", "looks"];

const integer = (random, from, to) => from + Math.floor(random() * (to - from + 1));
const pick = (random, all) => all[Math.floor(random() * all.length)];

/** The plan of turn `n` of a session; `place` counts the sessions of its setting. */
export function planTurn(random, { session, place, n, plain }) {
  const kind = kindOf(random, place, n, plain);
  const plan = {
    kind,
    session,
    byKey: n === 0 ? place % 2 === 0 : random() < 0.5,
    ...clients(random, place, n),
    pauseMs: integer(random, 0, 300),
  };
  if (kind === "task") return { ...plan, ...task(random, place) };
  const asked = kind === "chat" ? chat(random, session, place, n) : sandbox(random, place, n);
  const cancel = cancelOf(random, place, n, kind);
  const outcomes = cancel ? ["completed", "cancelled"] : ["completed"];
  if (asked.fails) outcomes[0] = "failed";
  const told = kind === "sandbox" && !plain;
  return { ...plan, ...asked, cancel, expected: { ...asked.expected, kind, outcomes, told } };
}

function kindOf(random, place, n, plain) {
  if (plain) return "sandbox";
  if (n === 0) return place < 12 ? "sandbox" : place < 15 ? "chat" : "task";
  return random() < 0.7 ? "sandbox" : random() < 0.5 ? "chat" : "task";
}

function cancelOf(random, place, n, kind) {
  if (n === 0) return kind === "sandbox" ? { cancelMid: "middle", cancelEnd: "end" }[FORCED[place]] : undefined;
  return random() < 0.12 ? pick(random, ["middle", "end"]) : undefined;
}

function clients(random, place, n) {
  const forced = n === 0 ? FORCED[place % FORCED.length] : null;
  const has = (what, chance) => forced === what || random() < chance;
  const viewers = [];
  const viewer = (style) => viewers.push({ style, at: random(), from: random() });
  if (has("slow", 0.2)) viewer("slow");
  if (has("sse", 0.3)) viewer("sse");
  if (has("leaves", 0.3)) viewer("leaves");
  viewer("plain");
  if (has("looks", 0.4)) for (let look = 0; look < 4; look++) viewer("look");
  return {
    viewers,
    burst: has("burst", 0.08),
    otherBody: has("otherBody", 0.15),
    alone: has("alone", 0.12),
    leaves: Array.from({ length: integer(random, 0, 2) }, () => integer(random, 150, 4_000)),
    replays: has("replay", 0.4),
  };
}

function sandbox(random, place, n) {
  const script = {
    lines: integer(random, 30, 110),
    delayMs: integer(random, 8, 40),
    seed: integer(random, 1, 1_000),
    emojiSplit: random() < 0.3,
    prettyJson: random() < 0.2,
    connections: [],
  };
  if (random() < 0.1) script.padBytes = 700;
  const names = Object.keys(FAULTS);
  // Twice, for a kill may take the connection that was to suffer the first one.
  const chosen = n === 0 ? Array(2).fill(names[place % names.length]) : [];
  while (random() < 0.4 && chosen.length < 3) chosen.push(pick(random, names));
  let from = 4;
  for (const name of chosen) {
    from = integer(random, 3, Math.max(4, Math.floor(script.lines / 5)));
    script.connections.push(...FAULTS[name](from));
  }
  const fails = n > 0 && random() < 0.06;
  if (fails) script.fails = "it could not";
  const lines = linesOf(script);
  const gone = script.connections.filter(({ status }) => status === 410).length;
  return { script, fails, message: `go ${n}`, count: lines.length + 2, expected: { lines, gone } };
}

/** The unnumbered lines that one attempt of a script makes. */
export function linesOf(script) {
  const frames = framesOf(script, { executionId: "", sessionId: "", inputHash: "" });
  return linesFor(frames, 1).map((line) => line.replace(/^\{"seq":\d+,/, "{"));
}

function chat(random, session, place, n) {
  const words = Array.from({ length: integer(random, 20, 45) }, (_, word) => `word-${word} `);
  const forced = Array(3).fill(CHAT_FAULTS[place % CHAT_FAULTS.length]);
  const chosen = n === 0 ? forced : random() < 0.6 ? [pick(random, CHAT_FAULTS)] : [];
  const starts = chosen.map((name) => ({ [name]: integer(random, 3, 18) }));
  const steps = words.map((say) => ({ say }));
  const message = scripted(`${session} ${n}`, { steps, delayMs: integer(random, 8, 40), starts });
  return { message, count: words.length + 4, expected: { words, starts: STARTS } };
}

function task(random, place) {
  return {
    message: SIX,
    research: { paceMs: integer(random, 50, 400), approvalMs: 600_000 },
    approve: place < 18 ? ["before", "waiting", "twice"][place % 3] : pick(random, ["before", "waiting", "twice"]),
    count: 20,
    alone: false,
    expected: { kind: "task", answer: FOUND, results: 6, steps: 10, outcomes: ["completed"] },
  };
}
