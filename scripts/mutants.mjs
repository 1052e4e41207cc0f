// `make mutants`: one fault after another that is put in on purpose, each of which somebody must notice.
//
// Owns the scratch copy of HEAD, the order, and the rows. The format is mutants/format.mjs's, who is asked
// mutants/stages.mjs's. Invariant: the working tree is never touched but for the table; what is asked is HEAD's own
// code but for one fault.
//
//   node scripts/mutants.mjs [NAMES]    all of them, or some, and their rows alone
//   MUTANT_STAGES=all                   asks every stage, and not only to the first that notices
//   MUTANTS=folder                      takes candidates from there, and prints their rows alone

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { endAll } from "./mutants/child.mjs";
import { filesOf, fit, load } from "./mutants/format.mjs";
import { STAGES, build } from "./mutants/stages.mjs";
import { HEADING, NONE, row, withRows } from "./mutants/table.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const README = join(ROOT, "mutants/README.md");
const candidates = process.env.MUTANTS && resolve(process.env.MUTANTS);
const asksAll = process.env.MUTANT_STAGES === "all";
const target = join(process.env.CARGO_TARGET_DIR || join(ROOT, "target"), "mutants");
const tree = {
  path: join(target, "tree"),
  logs: join(target, "logs"),
  mutant: NONE.name,
  // Not optimised: all stages then take three times as long, but a build takes eight seconds instead of a minute, and most
  // faults are noticed early.
  env: {
    CARGO_TARGET_DIR: join(target, "build"),
    CARGO_PROFILE_DEV_DEBUG: "0",
    RUST_BACKTRACE: "0",
  },
};

function fail(message) {
  console.error(`make mutants: ${message}`);
  process.exit(1);
}

/** Another one would put its faults into the same tree. */
function alone() {
  const note = join(target, "pid");
  const other = existsSync(note) ? Number(readFileSync(note, "utf8")) : 0;
  if (other > 0 && existsSync(`/proc/${other}`)) fail(`another one is at work (${other}); give this one a CARGO_TARGET_DIR of its own`);
  mkdirSync(tree.logs, { recursive: true });
  writeFileSync(note, String(process.pid));
  process.on("exit", () => {
    endAll();
    rmSync(note, { force: true });
    rmSync(tree.path, { recursive: true, force: true });
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
}

/** With the present time: an older file would count as built by the run before. */
function copy() {
  rmSync(tree.path, { recursive: true, force: true });
  mkdirSync(tree.path, { recursive: true });
  const archive = execFileSync("git", ["archive", "HEAD"], { cwd: ROOT, maxBuffer: 1 << 30 });
  execFileSync("tar", ["-xm", "-C", tree.path], { input: archive });
  if (existsSync(join(ROOT, "node_modules"))) symlinkSync(join(ROOT, "node_modules"), join(tree.path, "node_modules"));
}

/** What each stage says of the tree as it is, to the first that notices, unless all are asked. */
async function noticed(stages) {
  const told = [];
  const unbuilt = stages.some(({ isBuilt }) => isBuilt) && (await build(tree));
  if (unbuilt) return [unbuilt];
  for (const { name, notices } of stages) {
    const notice = await notices(tree);
    if (notice) told.push({ ...notice, by: `${name}: ${notice.by}` });
    if (notice && !asksAll) break;
  }
  return told;
}

async function hunted(mutant, files) {
  const { faults, changed } = fit(mutant, files);
  const error = (why, said) => ({ isNoticed: false, row: row(mutant, [{ by: `**${why}**`, said, soon: "", luck: "" }]) });
  if (faults.length > 0) return error("does not fit", faults.join(" "));
  const originals = [...changed.keys()].map((path) => [path, files.read(path)]);
  const write = (texts) => {
    for (const [path, text] of texts) writeFileSync(join(tree.path, path), text);
  };
  tree.mutant = mutant.name;
  write(changed);
  const stages = STAGES.filter(({ asks }) => asks(mutant, tree));
  try {
    const told = await noticed(stages);
    if (told.length === 0) return error("SURVIVED", stages.map(({ name }) => name).join(", "));
    return { isNoticed: !told.some(({ by }) => by.includes("**")), row: row(mutant, told) };
  } catch (failure) {
    return error("could not be asked", failure.message);
  } finally {
    write(originals);
  }
}

/** The code as it is: nobody notices anything, so that what is noticed is the fault's. */
async function control(mutants) {
  tree.isWhole = true;
  for (const stage of STAGES.filter(({ asks }) => mutants.some((mutant) => asks(mutant, tree)))) {
    const [notice] = await noticed([stage]);
    if (notice) fail(`${notice.by} without any fault: ${notice.said}; see ${tree.logs}`);
  }
  tree.isWhole = false;
  return row(NONE, [{ by: "nobody", said: "", soon: "", luck: "" }]);
}

const { mutants, faults } = load(candidates ?? join(ROOT, "mutants"));
if (faults.length > 0) fail(faults.join("\n"));
const names = process.argv.slice(2).join(" ").split(" ").filter(Boolean);
for (const name of names) {
  if (name !== NONE.name && !mutants.some((mutant) => mutant.name === name)) fail(`there is no mutant ${name}`);
}
const wanted = names.length > 0 ? mutants.filter(({ name }) => names.includes(name)) : mutants;

alone();
copy();
const files = filesOf(tree.path);
const rows = [];
const keep = (line) => {
  console.log(line);
  rows.push(line);
  if (!candidates) writeFileSync(README, withRows(readFileSync(README, "utf8"), rows, true));
};
console.log(HEADING.join("\n"));
if (names.length === 0 ? !candidates : names.includes(NONE.name)) keep(await control(mutants));
let unnoticed = 0;
for (const mutant of wanted) {
  const { isNoticed, row: line } = await hunted(mutant, files);
  keep(line);
  if (!isNoticed) unnoticed += 1;
}
if (!candidates && names.length === 0) writeFileSync(README, withRows(readFileSync(README, "utf8"), rows, false));
if (unnoticed > 0) fail(`${unnoticed} of ${wanted.length} were not noticed`);
console.log("all were noticed");
process.exit(0);
