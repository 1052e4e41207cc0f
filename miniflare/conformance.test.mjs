// The store's conformance table inside workerd: on an object's own SQLite and on D1.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { FAULTS_BUILD, startRuntime } from "./harness.mjs";

let runtime, client;
before(async () => {
  runtime = await startRuntime({ build: FAULTS_BUILD, vars: { AUTH_MODE: "none", UPSTREAM: "demo" } });
  client = new Client(runtime);
});
after(() => runtime?.stop());

async function casesOn(store) {
  const reading = await client.get(`/__faults/conformance?store=${store}`);
  assert.equal(reading.status, 200, reading.text);
  return reading.json().cases;
}

const names = {};
for (const store of ["object", "d1"]) {
  test(`the contract holds on ${store}`, { timeout: 120_000 }, async (t) => {
    const cases = await casesOn(store);
    names[store] = cases.map(({ name }) => name);
    assert.ok(cases.length > 0, "the table is not empty");
    for (const { name, ok, detail } of cases) await t.test(name, () => assert.ok(ok, detail));
  });
}

test("both stores were asked the same", () => {
  assert.deepEqual(names.d1, names.object);
  assert.equal(new Set(names.object).size, names.object.length);
});
