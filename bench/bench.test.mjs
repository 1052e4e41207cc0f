// The bench's arithmetic: what its figures, verdicts and prices are made by.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import test from "node:test";
import { AIMS, judge } from "./aims.mjs";
import { chart, scale } from "./chart.mjs";
import { dollarsPerMillionTurns, PRICES } from "./prices.mjs";
import { digits, markdown, spread } from "./report.mjs";
import { judged } from "./rows/kills.mjs";
import { exponent, over, quantile, slope } from "./stats.mjs";
import { DEFAULT } from "./subjects.mjs";

const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-9, `${found}, not ${expected}`);
const figure = (key, by) => ({
  key,
  by: Object.fromEntries(Object.entries(by).map(([name, value]) => [name, over([value])])),
});

test("a quantile lies between the two nearest values", () => {
  near(quantile([4, 1, 3, 2], 0.5), 2.5);
  near(quantile([1, 2, 3], 1), 3);
  near(quantile([0, 10], 0.99), 9.9);
});

test("a median has its spread, and no rounds are no figure", () => {
  assert.deepEqual(over([3, 1, 2]), { median: 2, least: 1, most: 3, rounds: [3, 1, 2] });
  assert.throws(() => over([]), /no round/);
});

test("an exponent is the slope of the logarithms", () => {
  const grown = (power) => [1, 10, 100].map((x) => [x, 7 * x ** power]);
  for (const power of [-1, 0, 0.5, 1, 2]) near(exponent(grown(power)), power);
  assert.throws(
    () =>
      exponent([
        [1, 0],
        [2, 1],
      ]),
    /positive/,
  );
  assert.throws(
    () =>
      slope([
        [1, 1],
        [1, 2],
      ]),
    /two different/,
  );
});

test("rows, requests and time are priced by the published table", () => {
  const price = dollarsPerMillionTurns({ rows: 200, alarms: 4, objectSeconds: 8 });
  near(price.rows, 200);
  near(price.requests, 0.3 + 5 * 0.15);
  near(price.duration, 8 * 0.128 * 12.5);
  near(price.total, price.rows + price.requests + price.duration);
  near(dollarsPerMillionTurns({ rows: 0, alarms: 0, objectSeconds: 0 }).total, 0.3);
});

test("the README's price is the report's, by the prices of the day it names", () => {
  const read = (path) => readFileSync(resolve(import.meta.dirname, path), "utf8");
  const readme = read("../README.md").replaceAll("\n", " ");
  const figures = JSON.parse(read("report/report.json")).rows.flatMap((row) => row.figures);
  const dollars = figures.find(({ key }) => key === "rows.dollars").by[DEFAULT.key].median / 1_000;
  const rows = figures.find(({ key }) => key === "rows.next").by[DEFAULT.key].median;
  const told = /\*\*\$([\d.]+) for 1,000 turns\*\*.*?\$([\d.]+) are rows, by Cloudflare's prices as read on ([\d-]+)/.exec(readme);
  const byRows = (rows * PRICES.rowsWritten) / 1_000;
  assert.deepEqual(told?.slice(1), [dollars.toFixed(2), byRows.toFixed(2), PRICES.readOn]);
});

test("an aim is met at its bound, missed beyond it, and not judged without its figures", () => {
  const aims = [
    { text: "at most", of: (get) => get("a", "x") / get("a", "y"), most: 2 },
    { text: "at least", of: (get) => get("a", "x"), least: 5 },
    { text: "unknown", of: (get) => get("b", "x"), most: 1 },
  ];
  const verdicts = (x, y) => judge([figure("a", { x, y })], aims).map(({ met }) => met);
  assert.deepEqual(verdicts(4, 2), [true, false, null]);
  assert.deepEqual(verdicts(5, 2), [false, true, null]);
});

test("every aim is at most or at least something", () => {
  for (const { text, most, least } of AIMS) assert.notEqual(most === undefined, least === undefined, text);
});

test("a line is lost that is gone, another, or never came; doubled that is there twice", () => {
  const lines = (...numbers) => numbers.map((n) => ({ n, sentAt: n }));
  const all = lines(1, 2, 3);
  const check = (given, lost, doubled) => assert.deepEqual(judged({ lines: 3, ...given }), { lost, doubled });
  check({ shown: lines(1), view: all, stands: all }, 0, 0);
  check({ shown: lines(1), view: lines(1, 3), stands: lines(1, 3) }, 1, 0);
  check({ shown: lines(1, 2), view: lines(1), stands: lines(1) }, 2, 0);
  check({ shown: lines(1, 2), view: lines(1, 1, 2, 3), stands: all }, 0, 1);
  const again = [{ n: 1, sentAt: 9 }, ...lines(2, 3)];
  check({ shown: lines(1), view: again, stands: again }, 1, 0);
});

test("a figure is written with what it is good for", () => {
  assert.deepEqual([0, 0.0417, 0.417, 12.34, 1234.5].map(digits), ["0", "0.042", "0.42", "12.3", "1,235"]);
  assert.equal(spread(over([1.5, 2.5, 9.25])), "2.50 (1.50–9.25)");
});

test("a scale is linear until the smallest bar would vanish", () => {
  const linear = scale([10, 100]);
  assert.equal(linear.isLog, false);
  near(linear.share(10), 0.1);
  const wide = scale([1, 10_000, 0]);
  assert.equal(wide.isLog, true);
  near(wide.share(1), 0.2);
  near(wide.share(0), 0);
  near(scale([0, 0]).share(0), 0);
});

test("report and chart are made of whatever was measured", () => {
  const machine = { cores: 2, processor: "a & b", node: "v22", loadBefore: 0, loadAfter: 1 };
  const figures = [{ ...figure("burst.ms", { pass: 20, ours50: 80 }), title: "burst", unit: "ms" }];
  const rows = [
    { key: "burst", title: "Burst", figures },
    { key: "cpu", title: "CPU", figures: [] },
  ];
  const failures = [{ what: "CPU", error: "no\nworkerd" }];
  const result = {
    at: "2026-11-21T00:00:00Z",
    quick: true,
    machine,
    clock: null,
    rows,
    failures,
    tookMs: 1_000,
  };
  const text = markdown({ ...result, aims: judge(figures) });
  assert.match(text, /\| burst over P \| ≤ 4 × \| 4 \| met \|/);
  assert.match(text, /- CPU: no workerd/);
  assert.doesNotMatch(text, /stands in the way/);
  const missed = [{ ...figures[0], by: { ...figures[0].by, ours50: over([81]) } }];
  assert.match(markdown({ ...result, aims: judge(missed) }), /stands in the way[^]*- \*\*burst over P\*\*: the pass-through copies/);
  assert.match(text, /Not measured\./);
  const drawn = chart(result);
  assert.match(drawn, /a &amp; b/);
  assert.equal(drawn.match(/class="ours"/g).length, 1);
});
