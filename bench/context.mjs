// What a row measures with: the subjects, their one runtime, and the order in which they have their turns.
//
// Owns interleaving and what becomes of a failure: a subject that fails in a row is named with its error and left out
// of that row's later rounds, the others go on. Invariant: what was started here is ended by `stop`.

import { clientOf } from "./clients.mjs";
import { over } from "./stats.mjs";
import { DEFAULT, start } from "./subjects.mjs";
import { workerdOf } from "./usage.mjs";

export const say = (text) => process.stderr.write(`${text}\n`);

const SHORT = { lines: 3, gapMs: 20 };
/** The first turns make D1's tables and let the engine compile. */
const WARM_UP_TURNS = 3;
/** A subject that is alone takes some seconds, or up to a minute where it can't keep up. */
const ALONE_MOST_MS = 90_000;

export class Context {
  #shared = null;
  #warm = new Set();

  constructor(plan, subjects) {
    this.plan = plan;
    this.subjects = subjects;
    this.failures = [];
  }

  /** The subjects of a row: all of them, or those that the plan has for it. */
  of(row) {
    const { subjects } = this.plan[row];
    return subjects ? this.subjects.filter(({ key }) => subjects.includes(key)) : this.subjects;
  }

  /** Those of them that a client can come back to; of ours the default alone. */
  returning(row) {
    return this.of(row).filter(({ key, resumes, ours }) => resumes && (!ours || key === DEFAULT.key));
  }

  /** The runtime that serves every subject. */
  async served() {
    this.#shared ??= await start();
    return this.#shared;
  }

  async stop() {
    await this.#shared?.stop();
    this.#shared = null;
  }

  fail(what, error) {
    say(`  failed: ${what}: ${error.message}`);
    this.failures.push({ what, error: error.message.slice(0, 300) });
  }

  /** A subject in the shared runtime, its client bound to its address; warmed up at its first use. */
  async at(subject) {
    const { urls } = await this.served();
    const bound = await bind(subject, urls[subject.name]);
    if (!this.#warm.has(subject.name)) await warmUp(bound);
    this.#warm.add(subject.name);
    return bound;
  }

  /** Gives every subject its turn in each round, beginning with another one each time; `{key: [result of each round]}`. */
  async rounds(count, what, subjects, measure) {
    const results = Object.fromEntries(subjects.map(({ key }) => [key, []]));
    const failed = new Set();
    for (let round = 0; round < count; round++) {
      say(`${what}: round ${round + 1} of ${count}`);
      for (let n = 0; n < subjects.length; n++) {
        const subject = subjects[(round + n) % subjects.length];
        if (failed.has(subject.key)) continue;
        try {
          results[subject.key].push(await measure(subject, round));
        } catch (error) {
          failed.add(subject.key);
          this.fail(`${what}, ${subject.title}`, error);
        }
      }
    }
    return results;
  }

  /**
   * A subject in a workerd of its own, for what is measured of the process or fills the machine. What isn't over within
   * `limitMs` ends with its workerd, and fails.
   */
  async alone(subject, use, { isWarm = true, limitMs = ALONE_MOST_MS } = {}) {
    const served = await start({ only: [subject.key] });
    try {
      const bound = await bind(subject, served.urls[subject.name]);
      if (isWarm) await warmUp(bound);
      return await within(limitMs, use(Object.assign(bound, served, { pid: workerdOf(served.host.pid) })));
    } finally {
      await served.stop();
    }
  }
}

async function within(limitMs, work) {
  const { promise: late, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error(`not over within ${limitMs / 1_000} s`)), limitMs);
  // What is given up fails once its workerd is gone, and nobody is there to hear it.
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** A subject with its client, at an address. */
async function bind(subject, url) {
  const { measureTurn, open, resume } = await clientOf(subject);
  return {
    subject,
    url,
    turn: (script, session) => measureTurn(url, script, session),
    open: (script, session) => open(url, script, session),
    resume: (session, options) => resume(url, session, options),
  };
}

async function warmUp({ subject, turn }) {
  for (let n = 0; n < WARM_UP_TURNS; n++) await turn(SHORT, `${subject.name}-warm-up`);
}

/** A figure of the report: a median with its spread for each subject that has one. */
export function figure(key, title, unit, results, read = (result) => result) {
  const by = {};
  for (const [subject, rounds] of Object.entries(results))
    if (rounds.length > 0) by[subject] = over(rounds.map(read));
  return { key, title, unit, by };
}

/** What a subject's rounds are above another's of the same round. */
export function above(results, base, read) {
  const found = {};
  for (const [subject, rounds] of Object.entries(results)) {
    found[subject] = rounds
      .slice(0, results[base]?.length ?? 0)
      .map((result, round) => read(result) - read(results[base][round]));
  }
  return found;
}
