// Lines lost or doubled, and the time until it goes on, over many SIGKILLs of workerd under a client that comes back.
//
// Owns the client's sight: the numbers in the tokens that it has in the end. Ours sends what comes after the last line
// that the client has; the peers send the message anew, and what they send then takes the place of what was there.
// Invariant: each turn is killed once, at a random line of a seed that the report names.

import { setTimeout as pause } from "node:timers/promises";
import { SEED, seeded } from "../../miniflare/harness.mjs";
import { figure, killWorkerd, say } from "../context.mjs";
import { DEFAULT, SUBJECTS } from "../subjects.mjs";

const GAP_MS = 10;
/** The kill falls between the first and the last lines, so that a turn is going on. */
const EDGE_LINES = 10;
/** A turn that is not over by then is given up: what is missing is lost. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 20;

/** What a view of the tokens says: numbers that never came, and numbers that came again. */
export function judged(view, lines) {
  const times = new Map();
  for (const n of view) times.set(n, (times.get(n) ?? 0) + 1);
  let [lost, doubled] = [0, 0];
  for (let n = 1; n <= lines; n++) {
    const count = times.get(n) ?? 0;
    if (count === 0) lost += 1;
    else doubled += count - 1;
  }
  return { lost, doubled };
}

/** Reads until the turn's last line or a cut; tells each line. */
async function follow(reading, lines, tell) {
  for await (const line of reading.lines) {
    tell(line);
    if (line.n === lines) break;
  }
  reading.close();
}

/** One turn that is killed at `killAt`: the client's view in the end, and when it went on. */
async function killedTurn(bound, session, lines, killAt) {
  let view = [];
  let last = { n: 0, seq: -1 };
  let killing = null;
  let killedAt;
  const first = await bound.open({ lines, gapMs: GAP_MS, resumable: true }, session);
  await follow(first, lines, (line) => {
    view.push(line.n);
    last = line;
    if (line.n !== killAt) return;
    killedAt = performance.now();
    killing = killWorkerd(bound);
  });
  await killing;
  const seen = Math.max(...view);
  let wentOnAt = null;
  const end = performance.now() + PATIENCE_MS;
  while (last.n !== lines && performance.now() < end) {
    const back = await bound.resume(session, { after: last.seq }).catch(() => null);
    if (back === null) {
      await pause(RETRY_MS);
      continue;
    }
    const timer = setTimeout(() => back.close(), end - performance.now());
    if (bound.subject.protocol === "ai-chat") view = [];
    await follow(back, lines, (line) => {
      view.push(line.n);
      last = line;
      if (line.n > seen) wentOnAt ??= line.at;
    });
    clearTimeout(timer);
  }
  return { ...judged(view, lines), recoveredMs: wentOnAt === null ? null : wentOnAt - killedAt };
}

/** The kills of one subject, one after another in a workerd of its own. */
function series(context, subject, random) {
  const { kills, lines } = context.plan.kills;
  return context.alone(subject, async (bound) => {
    const turns = [];
    for (let n = 0; n < kills; n++) {
      const killAt = EDGE_LINES + Math.floor(random() * (lines - 2 * EDGE_LINES));
      turns.push(await killedTurn(bound, `killed-${n}`, lines, killAt));
    }
    return turns;
  });
}

export default {
  key: "kills",
  title: "Kills",
  async measure(context) {
    const { kills } = context.plan.kills;
    const able = SUBJECTS.filter(({ key, resumes, ours }) => resumes && (!ours || key === DEFAULT.key));
    const sums = {};
    const times = {};
    for (const subject of able) {
      say(`kills: ${kills} of ${subject.title}, SEED=${SEED}`);
      try {
        const turns = await series(context, subject, seeded(SEED));
        const sum = (what) => turns.reduce((total, turn) => total + turn[what], 0);
        sums[subject.key] = [{ lost: sum("lost"), doubled: sum("doubled"), hit: turns.filter(({ lost, doubled }) => lost + doubled > 0).length }];
        times[subject.key] = turns.map(({ recoveredMs }) => recoveredMs).filter((ms) => ms !== null);
        if (times[subject.key].length < kills)
          context.fail(`kills, ${subject.title}`, new Error(`${kills - times[subject.key].length} of ${kills} turns never went on`));
      } catch (error) {
        context.fail(`kills, ${subject.title}`, error);
      }
    }
    return [
      figure("kills.lost", `lines lost over ${kills} kills`, "lines", sums, ({ lost }) => lost),
      figure("kills.doubled", `lines doubled over ${kills} kills`, "lines", sums, ({ doubled }) => doubled),
      figure("kills.hit", "… turns that lost or doubled a line", "turns", sums, ({ hit }) => hit),
      figure("kills.back", "SIGKILL to the next line, client comes back", "ms", times),
    ];
  },
};
