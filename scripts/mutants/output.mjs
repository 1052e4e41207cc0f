// What test programs say, read for what failed, what was said of it, and how soon.
//
// Owns the forms of libtest's, the simulator's, libFuzzer's and Node's output. It runs nothing.

const FAILED = /^test (\S+)(?: - should panic)? \.\.\. FAILED$/;
const PASSED = /^test (\S+)(?: - should panic)? \.\.\. ok$/;
const SLOW = /^test (\S+) has been running for over/;
const PANIC = /^thread '(.+)' (?:\(\d+\) )?panicked at /;
const SEED = /^seed (\d+): (.*)$/;
const MODEL_RUN = /: in run (\d+)$/;

/** Whether a line of libtest's ends the hunt. */
export const isFailure = (line) => FAILED.test(line);

/** What an assertion says from line `at` on: where two things were compared, both stand in the next lines. */
function words(lines, at, first = lines[at]) {
  const compared = /failed$/.test(first) ? lines.slice(at + 1, at + 3).filter((line) => /^ *(left|right): /.test(line)) : [];
  const all = [first, ...compared].map((line) => line.trim()).join(" ");
  return all.replace(/^assertion `left == right` failed:? */, "");
}

/** What the last panic of a thread said: `undefined` when it had none. */
function panicOf(thread, lines) {
  const at = lines.findLastIndex((line) => PANIC.exec(line)?.[1] === thread);
  return at < 0 ? undefined : words(lines, at + 1);
}

/** The first test that failed: `{test, said, run}`, the run being the model's. */
export function failedTest(lines) {
  const test = lines.map((line) => FAILED.exec(line)?.[1]).find(Boolean);
  if (test === undefined) return undefined;
  const run = lines.map((line) => MODEL_RUN.exec(line)?.[1]).findLast(Boolean);
  return { test, said: panicOf(test, lines) ?? "", run: test.startsWith("model::") ? run : undefined };
}

/** The tests that were at work when a process was ended or died; the slow ones where libtest names them. */
export function unfinished(lines, tests) {
  const over = new Set(lines.map((line) => PASSED.exec(line)?.[1]).filter(Boolean));
  const slow = lines.map((line) => SLOW.exec(line)?.[1]).filter((test) => test && !over.has(test));
  return slow.length > 0 ? slow : tests.filter((test) => !over.has(test));
}

/** The lowest seed that broke: threads take seeds in order, so it is the same each time. */
export function brokenSeed(lines) {
  const found = lines
    .map((line, at) => ({ at, match: SEED.exec(line) }))
    .filter(({ match }) => match)
    .map(({ at, match }) => ({ seed: Number(match[1]), said: words(lines, at, match[2]) }));
  return found.toSorted((one, other) => one.seed - other.seed)[0];
}

/** `{target, executions, said}` of libFuzzer's log of a target that failed. */
export function fuzzed(lines) {
  const count = lines.map((line) => /^stat::number_of_executed_units: (\d+)$/.exec(line)?.[1]).findLast(Boolean);
  const at = lines.findLastIndex((line) => PANIC.test(line));
  const said = at < 0 ? (lines.find((line) => /^(==\d+== ?ERROR|SUMMARY): /.test(line)) ?? "") : words(lines, at + 1);
  return { executions: Number(count ?? 0), said };
}

/** The first test that Node's TAP reporter says failed, and why. */
export function failedNodeTest(lines) {
  const at = lines.findIndex((line) => /^\s*not ok \d+ - /.test(line));
  if (at < 0) return undefined;
  const error = lines.slice(at).findIndex((line) => /^\s*error: /.test(line));
  const first = lines[at + error].replace(/^\s*error: /, "").replace(/^['"]|['"]$/g, "");
  const said = error < 0 ? "" : /^[|>]-?$/.test(first) ? lines[at + error + 1].trim() : first;
  return { test: lines[at].replace(/^\s*not ok \d+ - /, ""), said };
}
