// `node bench/peers/smoke.mjs`: whether the peers do their work here, and what a SIGKILL in mid-turn takes from them.
//
// Owns a quick look at the subjects, not a measurement: a turn that is whole and in order, a client that comes back,
// and some kills at lines of a seed. A line is known by its number and by when the upstream wrote it: one that was
// shown and is then another, or gone, is lost, even though a model was asked for it again.

import { seeded, SEED, until } from "../../miniflare/harness.mjs";
import { PEERS, start } from "../subjects.mjs";
import { measureTurn, open, resume } from "./client.mjs";

const SCRIPT = { lines: 60, gapMs: 20 };
const KILLS = Number(process.env.KILLS ?? 3);
const EDGE_LINES = 5;

const say = (text) => process.stdout.write(`${text}\n`);
const known = ({ n, sentAt }) => `${n}@${sentAt}`;
const prompts = async ({ upstreamUrl }) => Number(await (await fetch(`${upstreamUrl}/prompts`)).text());

async function read(reading, each = () => false) {
  const lines = [];
  for await (const line of reading.lines) {
    lines.push(line);
    if (each(line)) break;
  }
  reading.close();
  return lines;
}

/** A client that leaves in mid-turn and comes back at once, and another that comes back after the end. */
async function comesBack(url, session) {
  const half = SCRIPT.lines / 2;
  await read(await open(url, SCRIPT, session), ({ n }) => n === half);
  for (const when of ["in mid-turn", "after the end"]) {
    const back = await resume(url, session);
    const lines = await read(back);
    say(`  back ${when}: lines ${lines[0].n} to ${lines.at(-1).n}, ${back.bytes} bytes, of which ${half} lines were missing`);
  }
}

async function killed(served, url, session, killAt) {
  const before = await prompts(served);
  let back = null;
  let killedAt;
  const shown = await read(await open(url, SCRIPT, session), ({ n }) => {
    if (n !== killAt) return false;
    killedAt = performance.now();
    back = served.kill();
    return false;
  });
  await back;
  const reading = await until("it serves again", () => resume(url, session).catch(() => null), { everyMs: 20 });
  const view = await read(reading, ({ n }) => n === SCRIPT.lines);
  const kept = new Set(view.map(known));
  const numbers = new Set(view.map(({ n }) => n));
  const newest = view.find(({ replay }) => !replay);
  say(
    `  killed at line ${killAt}: ${shown.length} shown, ${view.filter(({ replay }) => replay).length} kept; ` +
      `${shown.filter((line) => !kept.has(known(line))).length} lost, ${view.length - numbers.size} doubled, ` +
      `${SCRIPT.lines - numbers.size} never came; ` +
      `went on after ${newest ? Math.round(newest.at - killedAt) : "–"} ms, ${(await prompts(served)) - before} prompts`,
  );
}

const random = seeded(SEED);
say(`SEED=${SEED}`);
for (const { key, title } of PEERS) {
  const served = await start({ only: [key] });
  const url = served.urls[`bench-${key}`];
  try {
    say(title);
    for (const turn of ["first", "second"]) {
      const { firstMs, totalMs, connectMs } = await measureTurn(url, SCRIPT, "turns");
      const figures = [firstMs, totalMs, connectMs].map((ms) => ms.toFixed(1));
      say(`  ${turn} turn: whole; first line ${figures[0]} ms, all ${figures[1]} ms, loading before ${figures[2]} ms`);
    }
    await comesBack(url, "back");
    for (let n = 0; n < KILLS; n++) {
      const killAt = EDGE_LINES + Math.floor(random() * (SCRIPT.lines - 2 * EDGE_LINES));
      await killed(served, url, `killed-${n}`, killAt);
    }
  } finally {
    await served.stop();
  }
}
