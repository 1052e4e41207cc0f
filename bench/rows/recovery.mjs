// What a SIGKILL of workerd does to a turn when nobody is there: how long until the upstream is asked again.
//
// Ours attaches to the execution that was going on, the peers ask the model anew. The restart of workerd is in it.

import { setTimeout as pause } from "node:timers/promises";
import { figure, say } from "../context.mjs";

const SCRIPT = { lines: 2_000, gapMs: 20, resumable: true };
/** Past the start, far from the end. */
const LINES_BEFORE = 40;
/** Beyond this a user is gone for good. */
const PATIENCE_MS = 60_000;
/** The client's leaving has reached the Worker. */
const LEFT_MS = 100;

const asked = async (upstreamUrl) => Number(await (await fetch(`${upstreamUrl}/asked`)).text());

async function leftAlone(bound) {
  const client = await bound.open(SCRIPT, "alone");
  for await (const { n } of client.lines) if (n === LINES_BEFORE) break;
  client.close();
  await pause(LEFT_MS);
  const before = await asked(bound.upstreamUrl);
  const killedAt = performance.now();
  await bound.kill();
  while ((await asked(bound.upstreamUrl)) === before) {
    if (performance.now() - killedAt > PATIENCE_MS) throw new Error(`not within ${PATIENCE_MS / 1_000} s`);
    await pause(10);
  }
  return performance.now() - killedAt;
}

export default {
  key: "recovery",
  title: "Recovery without a client",
  async measure(context) {
    const able = context.returning("recovery");
    const results = Object.fromEntries(able.map(({ key }) => [key, []]));
    for (let round = 0; round < context.plan.recovery.rounds; round++) {
      say(`recovery without a client: round ${round + 1} of ${context.plan.recovery.rounds}`);
      // All at once: nearly all of this time is waiting.
      const tries = able.map(async (subject) => {
        try {
          results[subject.key].push(await context.alone(subject, leftAlone));
        } catch (error) {
          context.fail(`recovery without a client, ${subject.title}`, error);
        }
      });
      await Promise.all(tries);
    }
    return [figure("recovery.alone", "SIGKILL until the upstream is read again, no client", "ms", results)];
  },
};
