// The store's conformance table and random operations inside workerd: on an object's own SQLite and on D1.
//
// The seeds are in the tests' names; CONFORMANCE_SEED asks one of them again, or any other.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { FAULTS_BUILD, startRuntime } from "./harness.mjs";

/** Seeds that are always asked: a sequence on D1 takes as long as twenty on an object's SQLite. */
const SEEDS = { object: 24, d1: 4 };
const STORES = Object.keys(SEEDS);
const OPERATIONS = 60;
/** One that nobody has asked before. */
const FRESH = randomInt(2 ** 48 - 1);

function seeds(store) {
  if (process.env.CONFORMANCE_SEED) return [process.env.CONFORMANCE_SEED];
  return [...Array.from({ length: SEEDS[store] }, (_, seed) => seed + 1), FRESH];
}

let runtime, client;
before(async () => {
  runtime = await startRuntime({ build: FAULTS_BUILD, vars: { AUTH_MODE: "none", UPSTREAM: "demo" } });
  client = new Client(runtime);
});
after(() => runtime?.stop());

async function ask(query) {
  const reading = await client.get(`/__faults/conformance?${query}`);
  assert.equal(reading.status, 200, reading.text);
  return reading.json();
}

const names = {};
for (const store of STORES) {
  test(`the contract holds on ${store}`, { timeout: 120_000 }, async (t) => {
    const { cases } = await ask(`store=${store}`);
    names[store] = cases.map(({ name }) => name);
    assert.ok(cases.length > 0, "the table is not empty");
    for (const { name, ok, detail } of cases) await t.test(name, () => assert.ok(ok, detail));
  });
}

/** What holds only where many sessions are: an object has one. */
const SHARED = ["a_key_is_none_of_a_session_key_that_ends_alike"];

test("both stores were asked the same, and D1 what many sessions ask", () => {
  assert.deepEqual(
    names.d1.filter((name) => !SHARED.includes(name)),
    names.object,
  );
  assert.equal(names.d1.length, names.object.length + SHARED.length);
  assert.equal(new Set(names.d1).size, names.d1.length);
});

for (const store of STORES) {
  for (const seed of seeds(store)) {
    test(`random operations of seed ${seed} answer alike on ${store} and the model`, { timeout: 120_000 }, async () => {
      const { difference } = await ask(`store=${store}&seed=${seed}&operations=${OPERATIONS}`);
      assert.equal(difference, null);
    });
  }
}
