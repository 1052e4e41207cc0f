// Who does harm: kills, stops, locks and takes away, one thing at a time in each setting, in a seeded order.
//
// Owns the faults of processes and stores. What the upstream does wrong stands in the scripts of `plan.mjs`.
// Invariant: it ends only processes that the setting started, and leaves the setting whole when it returns.

import { setTimeout as pause } from "node:timers/promises";
import { until } from "../miniflare/harness.mjs";
import { LEASE_MS } from "./settings.mjs";

const between = (random, from, to) => from + random() * (to - from);

const pick = (random, all) => all[Math.floor(random() * all.length)];

/** How long the turns that may not lose a storage are waited for; then other harm comes first. */
const SHIPPED_MS = 15_000;

const objects = {
  "objects: SIGKILL of workerd": ({ runtime }) => runtime.killWorkerdOnly(),

  async "objects: SIGKILL of everything"(setting, random) {
    const living = setting.livingOn(0);
    await setting.runtime.kill();
    setting.autopsy("SIGKILL", living);
    await pause(between(random, 0, 400));
    await setting.runtime.start();
  },

  async "objects: SIGSTOP, SIGCONT"({ runtime }, random) {
    runtime.freeze();
    await pause(between(random, 200, 2_500));
    runtime.thaw();
  },

  async "objects: D1 locked"({ runtime }, random) {
    const unlock = lock(runtime);
    if (!unlock) return false;
    await pause(between(random, 300, 2_500));
    unlock();
  },

  async "objects: storage of all objects lost"(setting) {
    const { promise, resolve: open } = Promise.withResolvers();
    setting.gate = promise;
    try {
      const patience = { ms: SHIPPED_MS, everyMs: 100 };
      return await until("D1 has what it must", () => loseStorage(setting), patience).catch(() => false);
    } finally {
      setting.gate = null;
      open();
    }
  },
};

/** Takes the storage away at a moment at which D1 has what it must; gives whether that was now. */
async function loseStorage(setting) {
  const { runtime } = setting;
  if (setting.isDelicate()) return false;
  runtime.freeze();
  // What was written before reaches its readers, so that what they know of ends is known here too.
  await pause(30);
  if (setting.isDelicate() || !setting.isShipped()) {
    runtime.thaw();
    return false;
  }
  await runtime.kill();
  setting.wipes.push(performance.now());
  runtime.deleteObjects();
  await runtime.start();
  // Alarms are lost with the storage. The sweep leaves a run a minute of grace; moving its due time back stands for
  // that minute, and has the sweep take over the turns whose clients are gone.
  await until("the sweep has looked", async () => {
    try {
      await runtime.d1("UPDATE runs SET wake_at = wake_at - 120000 WHERE wake_at IS NOT NULL");
      await runtime.cron();
      return true;
    } catch {
      return false;
    }
  });
  setting.sites.hit("objects: sweep");
  return true;
}

const either = (setting, random) => pick(random, setting.runtimes);

const plain = {
  "plain: SIGKILL of one workerd": (setting, random) => either(setting, random).killWorkerdOnly(),

  async "plain: SIGKILL of one process"(setting, random) {
    const runtime = either(setting, random);
    const living = setting.livingOn(runtime.process);
    await runtime.kill();
    setting.autopsy("SIGKILL", living);
    await pause(between(random, 0, 400));
    await runtime.start();
  },

  async "plain: stopped past its lease"(setting, random) {
    const runtime = either(setting, random);
    await runtime.freezeUnlocked();
    await pause(between(random, LEASE_MS, 2 * LEASE_MS));
    runtime.thaw();
  },

  "plain: cron": (setting, random) => either(setting, random).cron(),
};

/** Another connection may be writing at this very moment; then there is nothing to lock. */
function lock(runtime) {
  try {
    return runtime.lockD1();
  } catch {
    return null;
  }
}

/** Does harm until `isOver`: each fault once in a seeded order, then at random. `setting.spared` are those to come. */
export async function harm(setting, random, isOver) {
  const faults = setting.plain ? plain : objects;
  const names = Object.keys(faults);
  // A storage is lost last: it waits for turns that would not survive it, and the others come as they please.
  const last = names.at(-1);
  const queue = [...shuffled(names.slice(0, -1), random), last];
  while (!isOver()) {
    await pause(between(random, 400, 1_500));
    if (isOver()) return;
    const name = queue.shift() ?? (random() < 0.9 ? pick(random, names.slice(0, -1)) : last);
    const done = await faults[name](setting, random);
    setting.forgetFinished();
    if (done === false) queue.push(name);
    else setting.sites.hit(name);
    setting.spared = queue.length;
  }
}

function shuffled(all, random) {
  const left = [...all];
  for (let n = left.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [left[n], left[other]] = [left[other], left[n]];
  }
  return left;
}
