// What test programs say, as they say it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { brokenSeed, failedNodeTest, failedTest, fuzzed, isFailure, unfinished } from "./output.mjs";

const lines = (text) => text.trim().split("\n");

test("of a test that failed its own last panic is told, with what was compared", () => {
  const said = lines(`
test store::a ... ok
thread 'store::c' (12) panicked at tests/it/store.rs:1:1:
another one
thread 'store::b' (13) panicked at tests/it/store.rs:2:2:
caught on the way
thread 'store::b' (13) panicked at tests/it/store.rs:3:3:
assertion \`left == right\` failed: both are alike
  left: 1
 right: 2
test store::b ... FAILED`);
  assert.equal(isFailure(said.at(-1)), true);
  assert.equal(said.slice(0, -1).some(isFailure), false);
  assert.deepEqual(failedTest(said), { test: "store::b", said: "both are alike", run: undefined });
  const compared = said.map((line) => line.replace(": both are alike", ""));
  assert.equal(failedTest(compared).said, "left: 1 right: 2");
  assert.equal(failedTest(said.slice(0, -1)), undefined);
});

test("a scene of the model tells its run", () => {
  const said = lines(`
thread 'model::x' (1) panicked at tests/it/model/laws.rs:1:1:
I2: a gap
two crashes: in run 585
test model::x ... FAILED`);
  assert.deepEqual(failedTest(said), { test: "model::x", said: "I2: a gap", run: "585" });
});

test("where a program hangs or dies, the tests at work are told", () => {
  const said = lines("test a ... ok\ntest b has been running for over 60 seconds\ntest a has been running for over 60 seconds");
  assert.deepEqual(unfinished(said, ["a", "b", "c"]), ["b"]);
  assert.deepEqual(unfinished(said.slice(0, 1), ["a", "b", "c"]), ["b", "c"]);
});

test("of the seeds that broke the lowest is told", () => {
  const said = lines("seed 12: I1: late\nSee it again: make sim SEED=12\n\nseed 7: assertion `left == right` failed\n  left: 1\n right: 2");
  assert.deepEqual(brokenSeed(said), { seed: 7, said: "left: 1 right: 2" });
  assert.equal(brokenSeed(["600 runs from seed 1"]), undefined);
});

test("libFuzzer's executions and the property that broke are told", () => {
  const said = lines(`
#2 INITED cov: 10
thread '<unnamed>' (1) panicked at fuzz/src/ids.rs:1:1:
two places of one name
==1== ERROR: libFuzzer: deadly signal
stat::number_of_executed_units: 217`);
  assert.deepEqual(fuzzed(said), { executions: 217, said: "two places of one name" });
  assert.equal(fuzzed(["==1== ERROR: libFuzzer: timeout"]).said, "==1== ERROR: libFuzzer: timeout");
});

test("of Node's tests the first that failed is told, and why", () => {
  const said = lines(`
ok 1 - a
    not ok 1 - b is c
      ---
      error: |-
        Expected values to be strictly equal:
      code: 'ERR_ASSERTION'
not ok 2 - all`);
  assert.deepEqual(failedNodeTest(said), { test: "b is c", said: "Expected values to be strictly equal:" });
  assert.deepEqual(failedNodeTest(lines("not ok 1 - d\n  ---\n  error: 'it is over'")), { test: "d", said: "it is over" });
  assert.equal(failedNodeTest(["ok 1 - a"]), undefined);
});
