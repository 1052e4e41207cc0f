// The peers' Workers, built as `wrangler deploy --minify` builds them.
//
// Owns where a build is and when it is made anew: once its lock file, its sources or this file are newer than it.
// What it needs is installed by `npm ci --prefix bench`, and only for the bench.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const HERE = import.meta.dirname;
const BENCH = resolve(HERE, "..");
const LOCK = join(BENCH, "package-lock.json");
/** What npm itself writes at the end of an installation. */
const INSTALLED = join(BENCH, "node_modules", ".package-lock.json");

const age = (path) => (existsSync(path) ? statSync(path).mtimeMs : -Infinity);

/** Installs the peers' packages, when they are missing or others than the lock file's. */
export function install() {
  if (age(INSTALLED) >= age(LOCK)) return;
  execFileSync("npm", ["ci", "--prefix", BENCH, "--loglevel=error"], { stdio: ["ignore", 2, 2] });
}

/** The folder of a peer's build, which is made when it is missing or old. */
export function builtPeer(peer) {
  install();
  const source = join(HERE, peer);
  const build = join(HERE, "build", peer);
  const inputs = [LOCK, import.meta.filename, ...readdirSync(source).map((file) => join(source, file))];
  if (age(join(build, "index.js")) > Math.max(...inputs.map(age))) return build;
  rmSync(build, { recursive: true, force: true });
  const wrangler = join(BENCH, "..", "node_modules", ".bin", "wrangler");
  // By the Node that runs this: another one may come first on the PATH.
  execFileSync(process.execPath, [wrangler, "deploy", "--dry-run", "--minify", "--cwd", source, "--outdir", build], {
    stdio: ["ignore", process.env.STEADFAST_LOG ? 2 : "ignore", 2],
    env: { ...process.env, WRANGLER_SEND_METRICS: "false" },
  });
  return build;
}
