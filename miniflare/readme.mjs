// A newcomer's terminal: the commands of a README, copied out of its text, in a shell that has an old Node first on its PATH.
//
// Owns how a README is cut into blocks and commands, and the shells that run them. It knows no README: readme.test.mjs
// does. Invariant: a block is taken once, and nothing that a shell started outlives its `end`.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");

/** The languages of what a newcomer runs. */
const RUN = new Set(["sh", "js", "sql"]);

/** Below what wrangler asks for, and still one that a current npm runs on. */
const OLD_NODE = "20.18.0";

/** The commands of a block: lines, as many together as the shell needs to have something whole. */
function commandsOf(block) {
  const found = [];
  let open = "";
  for (const line of block.split("\n")) {
    open += open === "" ? line : `\n${line}`;
    if (open.endsWith("\\") || spawnSync("bash", ["-n", "-c", open]).status !== 0) continue;
    if (!/^\s*(#.*)?$/.test(open)) found.push(open);
    open = "";
  }
  if (open !== "") throw new Error(`no whole command: ${open}`);
  return found;
}

/** A README's blocks, in each of which `changes` are made and `left` commands left out. */
export class Readme {
  #blocks;
  #changes;
  #left;
  #text;

  /** `changes` are pairs of a text, or a pattern, and what stands for it here; `left` is commands' beginnings with their reasons. */
  constructor(path, { changes = [], left = {} } = {}) {
    this.#text = readFileSync(join(ROOT, path), "utf8");
    this.#blocks = [...this.#text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
    this.#changes = changes;
    this.#left = new Map(Object.keys(left).map((beginning) => [beginning, 0]));
  }

  /** The blocks in `sh` as they are to be run; one of which nothing is left is empty. */
  all() {
    const mine = this.#blocks.filter(({ language }) => language === "sh");
    this.#blocks = this.#blocks.filter(({ language }) => language !== "sh");
    return mine.map(({ text }) => this.#commands(text).join("\n"));
  }

  /** The only block of another language. */
  only(language) {
    const found = this.#blocks.filter((block) => block.language === language);
    if (found.length !== 1) throw new Error(`${found.length} blocks of ${language}`);
    this.#blocks = this.#blocks.filter((block) => block.language !== language);
    return this.#changed(found[0].text);
  }

  /** Blocks that nobody took, and what was to be left out or changed and isn't there any more. */
  leftovers() {
    const unused = ([what]) => this.#text.replaceAll(what, "") === this.#text;
    return [
      ...this.#blocks.filter(({ language }) => RUN.has(language)).map(({ text }) => `not taken:\n${text}`),
      ...[...this.#left].filter(([, times]) => times === 0).map(([command]) => `not there: ${command}`),
      ...this.#changes.filter(unused).map(([what]) => `nothing to change: ${what}`),
    ];
  }

  #commands(text) {
    return commandsOf(text)
      .filter((command) => !this.#isLeft(command))
      .map((command) => this.#changed(command));
  }

  #isLeft(command) {
    const beginning = [...this.#left.keys()].find((beginning) => command.startsWith(beginning));
    if (beginning === undefined) return false;
    this.#left.set(beginning, this.#left.get(beginning) + 1);
    return true;
  }

  #changed(text) {
    return this.#changes.reduce((done, [what, by]) => done.replaceAll(what, by), text);
  }
}

/**
 * The environment of somebody whose own Node is too old for wrangler: it stands first on the PATH, which has nothing of
 * this checkout. The Node behind it is the system's, or the pinned one where there is no other, that tells an old version.
 */
export function withOldNode(folder) {
  const PATH = process.env.PATH.split(delimiter)
    .filter((entry) => !entry.endsWith(join("node_modules", ".bin")))
    .join(delimiter);
  const found = spawnSync("sh", ["-c", "command -v node"], { env: { PATH }, encoding: "utf8" });
  const node = found.status === 0 ? found.stdout.trim() : process.execPath;
  const liar = join(folder, "old-node.cjs");
  writeFileSync(
    liar,
    `const told = (name, value) => Object.defineProperty(process, name, { value });
told("version", "v${OLD_NODE}");
told("versions", Object.freeze({ ...process.versions, node: "${OLD_NODE}" }));
`,
  );
  writeFileSync(join(folder, "node"), `#!/bin/sh\nexec "${node}" --require "${liar}" "$@"\n`, { mode: 0o755 });
  // What `make test` and its caller set is no newcomer's.
  const foreign = /^(MAKE|MFLAGS|PORT$|STATE_DIR$|UPSTREAM|NODE_|CARGO_TOOLS$)/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  return { ...env, PATH: `${folder}${delimiter}${PATH}`, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" };
}

/** One terminal: a shell that keeps its variables and its folder from block to block. */
export class Shell {
  #child;
  #output = "";
  #runs = 0;
  #ended;
  #heard = () => {};

  constructor(env) {
    this.#child = spawn("bash", ["--norc"], { cwd: ROOT, env, detached: true, stdio: ["pipe", "pipe", "ignore"] });
    this.#child.stdout.setEncoding("utf8").on("data", (text) => {
      this.#output += text;
      this.#heard();
    });
    this.#ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.stdin.write("exec 2>&1\n");
  }

  get output() {
    return this.#output;
  }

  /** Runs a text as if it was pasted; gives what it wrote, once the last command is over. */
  run(text) {
    const mark = `--- block ${this.#runs++}: `;
    const from = this.#output.length;
    const quoted = `'${text.replaceAll("'", `'\\''`)}'`;
    const { promise, resolve: over, reject } = Promise.withResolvers();
    this.#heard = () => {
      const end = this.#output.indexOf(mark, from);
      if (end >= 0 && this.#output.endsWith("\n")) over(this.#output.slice(from, end));
    };
    this.#ended.then(() => reject(new Error(`the shell ended in\n${text}\n${this.#output}`)));
    // The commands' input is not the shell's.
    this.#child.stdin.write(`eval ${quoted} </dev/null\nprintf '%s%s\\n' '${mark}' "$?"\n`);
    return promise;
  }

  /** Ctrl-C, then the end of whatever it left. */
  async end() {
    const tell = (signal) => {
      try {
        process.kill(-this.#child.pid, signal);
      } catch {
        // Nobody is left.
      }
    };
    tell("SIGINT");
    this.#child.stdin.end();
    await this.#ended;
    tell("SIGKILL");
  }
}

/** Whether `make` knows such a target; nothing is made. */
export function isTarget(command) {
  const [, target] = /^make (\w+)/.exec(command);
  try {
    execFileSync("make", ["-n", target], { cwd: ROOT, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
