// One campaign: sessions and harm side by side for a time, then calm, then judgement.
//
// Owns the order of these. Invariant: after the time is over nothing is broken any more, and whatever is not well
// within `CALM_MS` from then on is a violation.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { seeded, until } from "../miniflare/harness.mjs";
import { ScriptedUpstream } from "../miniflare/upstream.mjs";
import { harm } from "./nemesis.mjs";
import { judge } from "./oracle.mjs";
import { planTurn } from "./plan.mjs";
import { read } from "./readers.mjs";
import { play } from "./sessions.mjs";
import { Objects, Plain, survivesLoss } from "./settings.mjs";
import { CLIENTS, OBJECT_FAULTS, PLAIN_FAULTS, Sites, UPSTREAM_FAULTS } from "./sites.mjs";

/** Sessions at once. With fewer than kinds of forced first turns some of them would be left to chance. */
const SESSIONS = { objects: 18, plain: 5 };
/** A session has so many turns, then another takes its place. */
const TURNS = 4;
/** What a campaign is longer at most, when some kind of harm is still to come. */
const LONGER_MS = 60_000;
/** From the end of harm to the end of every turn: watchdog, lease, idle time and back-offs are below 10 s together. */
export const CALM_MS = 60_000;

/** Runs for `ms`; gives the judgement, the sites and the counts. The state folders stay when something is wrong. */
export async function campaign({ seed, ms }) {
  const sites = new Sites([...OBJECT_FAULTS, ...PLAIN_FAULTS, ...UPSTREAM_FAULTS, ...CLIENTS]);
  const upstream = await ScriptedUpstream.start();
  const settings = [await Objects.start(sites, upstream), await Plain.start(sites, upstream)];
  let violations = [{}];
  try {
    for (const setting of settings) await warm(setting);
    const isOver = overAfter(ms, settings);
    await Promise.all(settings.map((setting, n) => live(setting, seed + n * 7_919, isOver)));
    const calm = performance.now();
    for (const setting of settings) await settle(setting);
    const settledMs = performance.now() - calm;
    for (const [name, count] of upstream.faults) sites.hit(`upstream: ${name}`, count);
    const history = await collect(settings, upstream);
    const judgement = judge(history);
    violations = judgement.violations;
    for (const site of sites.missed) violations.push({ law: "sites", where: site, evidence: "never reached" });
    const folders = settings.map(({ root }) => root);
    if (violations.length > 0) keep(folders[0], seed, judgement, history);
    return { judgement, sites, folders, settledMs, counts: countsOf(history) };
  } catch (error) {
    // Said before anything is stopped: what still waits for a runtime fails with it, and would be heard of first.
    console.error(error);
    throw error;
  } finally {
    for (const setting of settings) await setting.stop(violations.length > 0);
    await upstream.close();
  }
}

/** A loaded machine does less harm in the same time: each kind of it has to come, for a bounded while longer. */
function overAfter(ms, settings) {
  const end = performance.now() + ms;
  const latest = end + LONGER_MS;
  return () => {
    const now = performance.now();
    return now > latest || (now > end && settings.every(({ spared }) => spared === 0));
  };
}

/** D1 exists from its first use on, and can be locked. */
async function warm(setting) {
  for (const runtime of setting.runtimes)
    await until("the Worker answers", async () => {
      const { over } = read(runtime.url, { label: "warm", path: "/v1/sessions/warm/turns/0/stream" });
      return (await over).status === 404;
    });
}

/** Sessions and harm until the time is over; then the turns that are open, to their ends. */
async function live(setting, seed, isOver) {
  const random = seeded(seed);
  const seats = Array.from({ length: SESSIONS[setting.name] }, (_, seat) =>
    sit(setting, seat, Math.floor(random() * 2 ** 31), isOver),
  );
  const { promise, resolve: over } = Promise.withResolvers();
  const watched = Promise.all(seats).then(over, over);
  await harm(setting, random, isOver);
  const expire = setTimeout(() => {
    setting.expired = true;
    for (const { turn, record } of setting.reading)
      if (record.ended === null) {
        record.unanswered = true;
        record.abandon();
        turn.record.unfinished ??= `${record.label} hangs`;
      }
  }, CALM_MS);
  await promise;
  clearTimeout(expire);
  await watched;
  await Promise.all(seats);
}

/** One seat: a session after the other. What a turn's clients draw, in whatever order, changes no later plan. */
async function sit(setting, seat, seed, isOver) {
  const random = seeded(seed);
  for (let round = 0; !isOver(); round++) {
    const session = `${setting.name}-${seat}-${round}`;
    for (let n = 0; n < TURNS && !isOver(); n++) {
      const place = round === 0 ? seat : 1_000 + seat;
      const plan = planTurn(random, { session, place, n, plain: setting.plain });
      if (!survivesLoss(plan) || plan.cancel) await setting.gate;
      const record = await play(setting, plan, n, seeded(Math.floor(random() * 2 ** 31)));
      if (record.unfinished) return;
      await pause(plan.pauseMs);
    }
  }
}

async function settle(setting) {
  // What is not settled by then shows in the copies.
  await until("D1 has all", () => setting.isSettled(), { ms: CALM_MS, everyMs: 300 }).catch(() => {});
}

async function collect(settings, upstream) {
  const sessions = [];
  for (const setting of settings) {
    for (const { record } of setting.turns) {
      const path = `/v1/sessions/${record.session}/turns/${record.turnIndex}/stream?live=false`;
      const answer = await read(setting.runtimes[0].url, { label: "the log", path }).over;
      record.log = answer.status === 200 && answer.ended === "end" ? answer.text : null;
      record.asked = askedOf(upstream, record);
    }
    sessions.push(...setting.collect());
  }
  const turns = settings.flatMap(({ turns }) => turns.map(({ record }) => record));
  return { turns, sessions, autopsies: settings.flatMap(({ autopsies }) => autopsies) };
}

/** What the upstream was asked for a turn. */
function askedOf(upstream, { runId, expected, message }) {
  const ids = expected.kind === "chat" ? [message] : upstream.executionsOf(runId);
  const counts = ids.map((id) => [id, upstream.counts(id)]);
  return {
    executions: Object.fromEntries(counts),
    ids: ids.length,
    cancels: counts.reduce((sum, [, { cancels }]) => sum + cancels, 0),
    messages: counts.flatMap(([, { bodies }]) => bodies.map((body) => body.message ?? message)),
  };
}

function countsOf({ turns, sessions, autopsies }) {
  const reads = turns.flatMap(({ reads }) => reads);
  const bytes = reads.reduce((sum, { text }) => sum + text.length, 0);
  const streams = reads.filter(({ stream, status }) => stream && status === 200);
  return {
    sessions: sessions.length,
    turns: turns.length,
    requests: reads.length,
    streams: streams.length,
    reattaches: streams.filter(({ label }) => /^main [1-9]/.test(label)).length,
    viewers: streams.filter(({ label }) => label.includes("viewer")).length,
    bytes,
    autopsies: autopsies.length,
    cutByKills: autopsies.reduce((sum, { reads }) => sum + reads.length, 0),
  };
}

/** What a violation is judged by, beside the state: all but the texts, which are in the stores. */
function keep(folder, seed, { violations }, { turns }) {
  const guilty = new Set(violations.map(({ where }) => where?.split(" ")[0]));
  const evidence = turns.filter(({ runId }) => guilty.has(runId));
  writeFileSync(join(folder, "violations.json"), JSON.stringify({ seed, violations, evidence }, null, 1));
}
