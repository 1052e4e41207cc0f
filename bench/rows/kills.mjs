// Lines lost or doubled, and the time until it goes on, over many SIGKILLs of workerd under a client that comes back.
//
// Owns the client's sight: the numbers in the tokens that it has in the end. Ours sends what comes after the last line
// that the client has; the peers send the message anew, and what they send then takes the place of what was there.
// Invariant: each turn is killed once, at a random line of a seed that the report names.

import { setTimeout as pause } from "node:timers/promises";
import { SEED, seeded } from "../../miniflare/harness.mjs";
import { figure, say } from "../context.mjs";

const GAP_MS = 10;
/** The kill falls between the first and the last lines, so that a turn is going on. */
const EDGE_LINES = 10;
/** A turn that is not over by then is given up: what is missing is lost. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 20;

const known = ({ n, sentAt }) => `${n}@${sentAt}`;

/**
 * What a kill took and gave. A line is known by its number and by when the upstream wrote it: one that was `shown` and
 * is not in what `stands` in the end is lost, even when the model was asked for another in its place, and so is one
 * that never came. A number that is more than once in the client's `view` is doubled.
 */
export function judged({ shown, view, stands, lines }) {
  const kept = new Set(stands.map(known));
  const numbers = new Set(stands.map(({ n }) => n));
  const gone = shown.filter((line) => !kept.has(known(line)) && numbers.has(line.n)).length;
  const never = Array.from({ length: lines }, (_, at) => at + 1).filter((n) => !numbers.has(n)).length;
  return { lost: gone + never, doubled: view.length - new Set(view.map(({ n }) => n)).size };
}

const prompts = async ({ upstreamUrl }) => Number(await (await fetch(`${upstreamUrl}/prompts`)).text());

/** Reads until the turn's last line or a cut; tells each line. */
async function follow(reading, lines, tell) {
  for await (const line of reading.lines) {
    tell(line);
    if (line.n === lines) break;
  }
  reading.close();
}

/** Comes back until the turn's last line is there; what comes then takes the place of the view, or goes on with it. */
async function comeBack(bound, session, view, lines, end) {
  const seen = view.at(-1).n;
  const replaces = bound.subject.protocol === "ai-chat";
  let wentOnAt = null;
  while (view.at(-1)?.n !== lines && performance.now() < end) {
    const back = await bound.resume(session, { after: view.at(-1)?.seq }).catch(() => null);
    if (back === null) {
      await pause(RETRY_MS);
      continue;
    }
    const timer = setTimeout(() => back.close(), end - performance.now());
    if (replaces) view.length = 0;
    await follow(back, lines, (line) => {
      view.push(line);
      if (line.n > seen) wentOnAt ??= line.at;
    });
    clearTimeout(timer);
  }
  return wentOnAt;
}

/** One turn that is killed at `killAt`, and what the client has in the end. */
async function killedTurn(bound, session, lines, killAt) {
  const view = [];
  let killing = null;
  let killedAt;
  await follow(await bound.open({ lines, gapMs: GAP_MS, resumable: true }, session), lines, (line) => {
    view.push(line);
    if (line.n !== killAt) return;
    killedAt = performance.now();
    killing = bound.kill();
    // It is awaited once the connection is cut.
    killing.catch(() => {});
  });
  await killing;
  const shown = [...view];
  const wentOnAt = await comeBack(bound, session, view, lines, performance.now() + PATIENCE_MS);
  const stands = [...view];
  if (bound.subject.ours) {
    stands.length = 0;
    await follow(await bound.resume(session), lines, (line) => stands.push(line));
  }
  return {
    ...judged({ shown, view, stands, lines }),
    recoveredMs: wentOnAt === null ? null : wentOnAt - killedAt,
  };
}

/** The kills of one subject, one after another in a workerd of its own. */
function series(context, subject, random) {
  const { kills, lines } = context.plan.kills;
  return context.alone(subject, async (bound) => {
    const turns = [];
    const before = await prompts(bound);
    for (let n = 0; n < kills; n++) {
      const killAt = EDGE_LINES + Math.floor(random() * (lines - 2 * EDGE_LINES));
      turns.push(await killedTurn(bound, `killed-${n}`, lines, killAt));
    }
    return { turns, again: (await prompts(bound)) - before - kills };
  });
}

export default {
  key: "kills",
  title: "Kills",
  async measure(context) {
    const { kills } = context.plan.kills;
    const able = context.returning("kills");
    const sums = {};
    const times = {};
    for (const subject of able) {
      say(`kills: ${kills} of ${subject.title}, SEED=${SEED}`);
      try {
        const { turns, again } = await series(context, subject, seeded(SEED));
        const sum = (what) => turns.reduce((total, turn) => total + turn[what], 0);
        const hit = turns.filter(({ lost, doubled }) => lost + doubled > 0).length;
        sums[subject.key] = [{ lost: sum("lost"), doubled: sum("doubled"), hit, again }];
        times[subject.key] = turns.map(({ recoveredMs }) => recoveredMs).filter((ms) => ms !== null);
        if (times[subject.key].length < kills)
          context.fail(
            `kills, ${subject.title}`,
            new Error(`${kills - times[subject.key].length} of ${kills} turns never went on`),
          );
      } catch (error) {
        context.fail(`kills, ${subject.title}`, error);
      }
    }
    return [
      figure("kills.lost", `lines lost over ${kills} kills`, "lines", sums, ({ lost }) => lost),
      figure("kills.doubled", `lines doubled over ${kills} kills`, "lines", sums, ({ doubled }) => doubled),
      figure("kills.hit", "… turns that lost or doubled a line", "turns", sums, ({ hit }) => hit),
      figure("kills.again", "… answers that the upstream began anew", "answers", sums, ({ again }) => again),
      figure("kills.back", "SIGKILL to the next line, client comes back", "ms", times),
    ];
  },
};
