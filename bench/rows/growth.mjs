// How cost grows: each of events a turn, turns a session, sessions and viewers at ×1, ×10 and ×100.
//
// Cost is workerd's CPU time for a thousand lines, the subject alone in its process. The exponent is that of cost a
// line: 0 is flat, 1 means that ten times as many cost ten times as much each. Small scales are repeated, so that the
// clock's 10 ms are little beside what is measured.

import { figure, say } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { exponent } from "../stats.mjs";
import { DEFAULT, PASS, SUBJECTS } from "../subjects.mjs";
import { costOf } from "./cpu.mjs";
import { eachOf, sessionsAtOnce } from "./many.mjs";
import { watched } from "./viewers.mjs";

const MOST_REPEATS = 20;
/** All scales of one kind, the last of which takes most of it. */
const MOST_MS = 150_000;

/** Bursts: ever longer turns, each in a session of its own. */
async function events({ pid, turn }, lines, factor, base) {
  const repeats = Math.min(MOST_REPEATS, (base * 100) / lines);
  const cost = await costOf(pid, () =>
    eachOf(repeats, 1, (n) => turn({ lines, gapMs: 0 }, `events-${factor}-${n}`)),
  );
  return (1_000 * cost) / (lines * repeats);
}

const TURNS_AT_AN_AGE = 5;
const AGED = { lines: 200, gapMs: 0 };
const ages = new WeakMap();

/** Bursts in sessions that have had ever more turns. */
async function turns(bound, age) {
  const { pid, turn, agedSessions } = bound;
  const grow = (to, script) =>
    eachOf(agedSessions, agedSessions, async (session) => {
      for (let had = ages.get(bound) ?? 0; had < to; had++) await turn(script, `age-${session}`);
    });
  await grow(age, AGED);
  ages.set(bound, age);
  const cost = await costOf(pid, () => grow(age + TURNS_AT_AN_AGE, AGED));
  ages.set(bound, age + TURNS_AT_AN_AGE);
  return (1_000 * cost) / (agedSessions * TURNS_AT_AN_AGE * AGED.lines);
}

/** So many lines in all, whatever the number of sessions, at 20 lines a second each; at least two seconds' worth. */
const LINES_IN_ALL = 400;
const LEAST_LINES = 40;

async function sessions(bound, count, factor) {
  const lines = Math.max(LEAST_LINES, LINES_IN_ALL / count);
  const cost = await costOf(bound.pid, () =>
    sessionsAtOnce(bound, { sessions: count, lines, gapMs: 50 }, `sessions-${factor}`),
  );
  return (1_000 * cost) / (lines * count);
}

const WATCHED_LINES = 100;

/** Cost of a line at one viewer of it. */
async function viewers(bound, count, factor) {
  let delivered = 0;
  const script = { viewers: count, lines: WATCHED_LINES };
  const cost = await costOf(bound.pid, async () => {
    delivered = count * (await watched(bound, script, `viewers-${factor}`)).lines;
  });
  return (1_000 * cost) / delivered;
}

// The pass-through only where its cost is above the clock's resolution, and it has neither sessions nor viewers.
const KINDS = [
  { key: "events", title: "lines a turn (bursts)", measure: events, keys: [DEFAULT.key] },
  { key: "turns", title: "turns a session had", measure: turns, keys: [DEFAULT.key] },
  { key: "sessions", title: `sessions at 20/s`, measure: sessions, keys: [DEFAULT.key, PASS.key] },
  { key: "viewers", title: `viewers at ${1_000 / GAP_MS}/s`, measure: viewers, keys: [DEFAULT.key] },
];

async function grown(context, { key, title, measure }, subject) {
  const { base, factors, agedSessions } = context.plan.growth;
  const points = await context.alone(
    subject,
    async (alone) => {
      const bound = { ...alone, agedSessions };
      const found = [];
      for (const factor of factors) {
        say(`growth of ${title}, ${subject.title}: ×${factor}`);
        found.push([base[key] * factor, await measure(bound, base[key] * factor, factor, base[key])]);
      }
      return found;
    },
    { limitMs: MOST_MS },
  );
  return points;
}

export default {
  key: "growth",
  title: "Growth",
  async measure(context) {
    const figures = [];
    for (const kind of KINDS) {
      const costs = {};
      for (const subject of SUBJECTS.filter(
        ({ key }) => kind.keys.includes(key) && context.of("growth").some((one) => one.key === key),
      )) {
        try {
          costs[subject.key] = await grown(context, kind, subject);
        } catch (error) {
          context.fail(`growth of ${kind.title}, ${subject.title}`, error);
        }
      }
      const results = Object.fromEntries(Object.entries(costs).map(([key, points]) => [key, [points]]));
      for (const [place, factor] of context.plan.growth.factors.entries()) {
        const at = context.plan.growth.base[kind.key] * factor;
        figures.push(
          figure(
            `growth.${kind.key}.${factor}`,
            `${at} ${kind.title}: CPU a 1,000 lines`,
            "ms",
            results,
            (points) => points[place][1],
          ),
        );
      }
      figures.push(figure(`growth.${kind.key}`, "… exponent", "", results, exponent));
    }
    return figures;
  },
};
