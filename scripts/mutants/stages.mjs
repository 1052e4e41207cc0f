// Who is asked about a fault, from the cheapest to the dearest.
//
// Owns which tests a stage has, its bounds, and what counts as luck. Each stage runs in a scratch tree that has the
// fault. It writes no table. Invariant: a stage ends within its bound, whatever the fault does; tests that hang or die
// have noticed it, a simulator that is cut off has not.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./child.mjs";
import { brokenSeed, failedNodeTest, failedTest, fuzzed, isFailure, unfinished } from "./output.mjs";

// From seed 1, as long as the rarest of the faults takes that it found.
const SIM_RUNS = Number(process.env.MUTANT_RUNS || 6000);
const SIM_SECONDS = Number(process.env.MUTANT_SECONDS || 600);
// What `cargo test` runs of them (LEAST_RUNS in tests/it/sim.rs), and what `make test` comes to in its 30 seconds.
const CARGO_TEST_RUNS = 40;
const MAKE_TEST_RUNS = 270;
const FUZZ_RUNS = 4000;
// Several times what each takes on two busy cores. No single test takes as long as one that hangs may say nothing.
const SECONDS = { unit: 300, integration: 1200, crashes: 1200, again: 300, fuzz: 1200, build: 1800, workerd: 1200 };
const QUIET_SECONDS = 180;

const CAMPAIGN = "sim::a_campaign_breaks_nothing";
const isCrash = (test) => /^model::|(^|::)crash::/.test(test);
const isSimulated = (test) => /^sim::/.test(test);
// These read the sources, and would notice how a fault is written.
const isStyle = (test) => /^tidy::/.test(test);

const isOfWorkerd = (path) => /^(src[/]cloudflare|worker|examples)[/]/.test(path);
const paths = (mutant) => mutant.parts.map(({ path }) => path);
const isNative = (mutant) => paths(mutant).some((path) => !isOfWorkerd(path));

const NATIVE = {
  unit: { program: "unit", has: () => true },
  integration: { program: "it", has: (test) => !isCrash(test) && !isSimulated(test) && !isStyle(test) },
  crashes: { program: "it", has: isCrash },
};

/** In this order; `asks` says whether a mutant can be noticed there at all, `isBuilt` whether it runs what `build` built. */
export const STAGES = [
  { name: "unit", isBuilt: true, asks: isNative, notices: (tree) => tests(tree, "unit") },
  { name: "integration", isBuilt: true, asks: isNative, notices: (tree) => tests(tree, "integration") },
  { name: "crash and model", isBuilt: true, asks: isNative, notices: (tree) => tests(tree, "crashes") },
  { name: "simulator", isBuilt: true, asks: isNative, notices: simulator },
  { name: "fuzz", asks: isFuzzed, notices: fuzz },
  { name: "workerd", asks: (mutant) => paths(mutant).some(isOfWorkerd), notices: workerd },
];

/** Compiles the tree natively, and remembers its test programs; the notice when it doesn't. */
export async function build(tree) {
  const args = ["test", "--locked", "--lib", "--test", "it", "--no-run", "--message-format=short"];
  const { code, lines } = await run("cargo", args, given(tree, "build", SECONDS.build));
  const program = (of) => lines.map((line) => new RegExp(`^ *Executable ${of} \\((.*)\\)$`).exec(line)?.[1]).find(Boolean);
  tree.programs = { unit: program("unittests src/lib[.]rs"), it: program("tests/it/main[.]rs") };
  return code === 0 ? undefined : unbuilt(lines);
}

const unbuilt = (lines) => ({ by: "**does not compile**", said: lines.find((line) => /\berror\b/.test(line)) ?? "", soon: "", luck: "" });

function given(tree, name, seconds) {
  return { cwd: tree.path, env: tree.env, seconds, log: join(tree.logs, `${tree.mutant}.${name.replaceAll(" ", "-")}.log`) };
}

async function names(tree, program) {
  const { lines } = await run(program, ["--list", "--format", "terse"], given(tree, "list", SECONDS.again));
  return lines.map((line) => /^(\S+): test$/.exec(line)?.[1]).filter(Boolean);
}

/** A stage of libtest's: it ends with the first test that fails. */
async function tests(tree, stage) {
  const program = tree.programs[NATIVE[stage].program];
  const wanted = (await names(tree, program)).filter(NATIVE[stage].has);
  if (wanted.length === 0) throw new Error(`there are no tests of the stage "${stage}"`);
  const ran = await run(program, ["--exact", "--nocapture", ...wanted], {
    ...given(tree, stage, SECONDS[stage]),
    quiet: QUIET_SECONDS,
    until: isFailure,
    bounded: true,
  });
  const failed = failedTest(ran.lines);
  if (failed) {
    const soon = failed.run ? `run ${failed.run}` : `${Math.ceil(ran.seconds)} s`;
    return { by: failed.test, said: failed.said, soon, luck: await again(tree, program, failed.test) };
  }
  if (ran.how === "ended" && ran.code === 0) return undefined;
  const left = unfinished(ran.lines, wanted).slice(0, 2).join(", ");
  const how = ran.how === "late" ? "hangs" : `dies (${ran.code})`;
  return { by: `${left} ${how}`, said: ran.lines.at(-1) ?? "", soon: `${Math.ceil(ran.seconds)} s`, luck: "no" };
}

/** Chance has a part in it when the same test alone passes. */
async function again(tree, program, test) {
  let failed = 1;
  for (const time of [2, 3]) {
    const bounds = { ...given(tree, `again-${time}`, SECONDS.again), bounded: true };
    const { how, code } = await run(program, ["--exact", test], bounds);
    if (how === "late" || code !== 0) failed += 1;
  }
  return failed === 3 ? "no" : `luck: ${failed} of 3 times`;
}

async function simulator(tree) {
  const bounds = given(tree, "simulator", tree.isWhole ? SECONDS.build : SIM_SECONDS);
  const env = { ...tree.env, SIM_FIRST: "1", SIM_RUNS: String(SIM_RUNS) };
  const ran = await run(tree.programs.it, ["--exact", "--nocapture", CAMPAIGN], { ...bounds, env, bounded: true });
  const broken = brokenSeed(ran.lines);
  if (broken) {
    const luck = broken.seed <= CARGO_TEST_RUNS ? "no" : broken.seed <= MAKE_TEST_RUNS ? "make test" : "luck";
    return { by: `sim, seed ${broken.seed}`, said: broken.said, soon: `${broken.seed} runs`, luck };
  }
  if (tree.isWhole && ran.how === "late") throw new Error(`${SIM_RUNS} simulated runs take too long here`);
  if (ran.how === "late") return undefined;
  const failed = failedTest(ran.lines);
  // A fault of the list that never comes any more.
  if (failed) return { by: failed.test, said: failed.said, soon: `${SIM_RUNS} runs`, luck: "luck" };
  if (ran.code === 0) return undefined;
  return { by: `sim dies (${ran.code})`, said: ran.lines.at(-1) ?? "", soon: `${Math.ceil(ran.seconds)} s`, luck: "no" };
}

/** The rooms of src/ that the fuzz targets name. */
function isFuzzed(mutant, tree) {
  const sources = readdirSync(join(tree.path, "fuzz/src")).map((file) => readFileSync(join(tree.path, "fuzz/src", file), "utf8"));
  const rooms = new Set(sources.flatMap((text) => [...text.matchAll(/\bsteadfast::(\w+)/g)].map(([, room]) => room)));
  return paths(mutant).some((path) => rooms.has(/^src[/](\w+)/.exec(path)?.[1]));
}

async function fuzz(tree) {
  const once = async (seed, target) => {
    // A fault that leaves a name unused is not refused for that.
    const env = { ...tree.env, FUZZ_SEED: String(seed), FUZZ_RUNS: String(FUZZ_RUNS), FUZZ_LINTS: "" };
    const ran = await run("sh", ["scripts/fuzz.sh", "short", ...target], { ...given(tree, `fuzz-${seed}`, SECONDS.fuzz), env });
    const failed = ran.lines.map((line) => /fuzz target (\w+) failed/.exec(line)?.[1]).find(Boolean);
    if (failed === undefined && ran.code !== 0) throw new Error(`fuzzing fails for another reason: ${ran.lines.at(-1)}`);
    return failed;
  };
  const target = await once(1, []);
  if (target === undefined) return undefined;
  const log = join(tree.env.CARGO_TARGET_DIR, "fuzz", `${target}.log`);
  const { executions, said } = fuzzed(readFileSync(log, "utf8").split("\n"));
  const kept = readdirSync(join(tree.path, "fuzz/corpus", target)).length;
  const soon = `execution ${executions} of ${kept + FUZZ_RUNS}`;
  const isLate = executions > kept + FUZZ_RUNS / 2;
  const luck = isLate || (executions > kept && (await once(2, [target])) === undefined) ? "luck" : "no";
  return { by: `fuzz target ${target}`, said, soon, luck };
}

const BUILDS = [[], ["faults"], ["example", "custom-worker"], ["example", "plain-worker"]];
// Its commands are those of a newcomer, `make dev` among them, and take longer than all the rest.
const isRun = (file) => file.endsWith(".test.mjs") && file !== "readme.test.mjs";

async function workerd(tree) {
  for (const [index, args] of BUILDS.entries()) {
    const { code, lines } = await run("sh", ["scripts/build.sh", ...args], given(tree, `build-${index}`, SECONDS.build));
    if (code !== 0) return unbuilt(lines);
  }
  const files = readdirSync(join(tree.path, "miniflare")).filter(isRun).map((file) => join("miniflare", file));
  const args = ["--disable-warning=ExperimentalWarning", "--test", "--test-reporter=tap", "--test-concurrency=2", ...files];
  const ran = await run("node", args, given(tree, "workerd", SECONDS.workerd));
  const failed = failedNodeTest(ran.lines);
  const soon = `${Math.ceil(ran.seconds)} s`;
  if (failed) return { by: failed.test, said: failed.said, soon, luck: "no" };
  if (ran.how === "ended" && ran.code === 0) return undefined;
  return { by: ran.how === "late" ? "hangs" : `dies (${ran.code})`, said: "", soon, luck: "no" };
}
