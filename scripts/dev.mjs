// The development server behind `make dev`: the built Worker in workerd, on loopback.
//
// Owns how configuration of the environment reaches the Worker, where state is kept, and that
// nothing is left running. It doesn't own the build (scripts/build.sh, which wrangler.toml names)
// or any default but port and state folder: those stand in .dev.vars.
// Invariant: values travel inside this process only, never over a command line or a file.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { HOST, place, workerdOf } from "./place.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

// PROTOCOL §5. What the environment sets of these wins over .dev.vars.
const VARS = [
  "AUTH_MODE",
  "CORS_ORIGINS",
  "PROJECT",
  "UPSTREAM",
  "UPSTREAM_URL",
  "UPSTREAM_MODEL",
  "UPSTREAM_IDLE_MS",
  "UPSTREAM_ATTEMPTS",
  "UPSTREAM_STARTS",
  "TURN_TIMEOUT_MS",
  "TURN_MAX_BYTES",
  "HISTORY_MESSAGES",
  "HISTORY_BYTES",
  "SYSTEM_PROMPT",
  "COMMIT_WINDOW_MS",
  "SHIP_INTERVAL_MS",
  "WATCHDOG_MS",
  "RETENTION_DAYS",
  "D1_LOG_DAYS",
];
const SECRETS = ["API_TOKENS", "UPSTREAM_KEY"];

// wrangler.toml's cron trigger, which a local workerd doesn't fire by itself, and where it may be.
const CRON_PATH = "/cdn-cgi/local/scheduled?cron=*+*+*+*+*";
const CRON_MS = 60_000;
// Closing waits for streams in flight; after this long the process ends, and workerd with it.
const CLOSE_MS = 4_000;
const PARENT_POLL_MS = 250;
// wrangler restarts a workerd that was killed, but a proxy that died has forgotten where the Worker is and waits for
// ever to be told; a healthy Worker answers within milliseconds.
const PROXY_POLL_MS = 250;
const HEALTH_CHECKS = 20;
const HEALTH_MS = 500;

function fail(message) {
  console.error(`make dev: ${message}`);
  process.exit(1);
}

function where() {
  try {
    return place();
  } catch (error) {
    return fail(error.message);
  }
}

function requireFree(port) {
  return new Promise((free) => {
    const probe = createServer();
    probe.once("error", (error) => {
      const why = error.code === "EADDRINUSE" ? "is taken" : `can't be used (${error.code})`;
      fail(`port ${port} of ${HOST} ${why}. Choose another: PORT=8788 make dev`);
    });
    probe.listen(port, HOST, () => probe.close(free));
  });
}

function bindings() {
  const set = (names, type) =>
    names
      .filter((name) => process.env[name] !== undefined)
      .map((name) => [name, { type, value: process.env[name] }]);
  return Object.fromEntries([...set(VARS, "plain_text"), ...set(SECRETS, "secret_text")]);
}

// GNU make that is interrupted alone, without its process group, puts SIGINT back to its default
// and waits for this process without a word; where /proc tells, that is taken for the Ctrl-C it is.
function interrupted(parent) {
  try {
    const status = readFileSync(`/proc/${parent}/status`, "utf8");
    const SIGINT_BIT = 2n;
    const has = (field) => {
      const mask = new RegExp(`^${field}:\\s*([0-9a-f]+)`, "m").exec(status)[1];
      return (BigInt(`0x${mask}`) & SIGINT_BIT) !== 0n;
    };
    return /^Name:\s*g?make$/m.test(status) && !has("SigCgt") && !has("SigIgn");
  } catch {
    return false;
  }
}

function onStop(stop) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent || interrupted(parent)) stop();
  }, PARENT_POLL_MS).unref();
}

// Tells a proxy that was replaced where the Worker is, until it answers. wrangler tells it after each reload, and
// this is that message again: a reload would replace the runtime too, and with it every turn in it.
async function tellNewProxies(port, tell, answers) {
  let known = workerdOf(process.pid, port).proxy.join();
  for (;;) {
    await sleep(PROXY_POLL_MS, undefined, { ref: false });
    const now = workerdOf(process.pid, port).proxy.join();
    if (now === known || now === "") continue;
    known = now;
    for (let check = 0; check < HEALTH_CHECKS && !stopping; check += 1) {
      tell();
      if (await answers()) break;
      await sleep(PROXY_POLL_MS, undefined, { ref: false });
    }
  }
}

process.chdir(ROOT);
// Neither usage statistics nor an example `Request.cf`: development needs no network.
process.env.WRANGLER_SEND_METRICS = "false";
process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";

let worker;
let stopping = false;
// miniflare ends the process on a signal, with the signal's code. To be stopped is what this server is for.
process.on("exit", () => {
  if (stopping) process.exitCode = 0;
});
onStop(async () => {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(0), CLOSE_MS);
  await worker?.dispose();
  process.exit(0);
});

const { port, state, note } = where();
await requireFree(port);
mkdirSync(state, { recursive: true });
const { unstable_startWorker } = await import("wrangler");
worker = await unstable_startWorker({
  config: resolve(ROOT, "wrangler.toml"),
  envFiles: [],
  bindings: bindings(),
  dev: {
    server: { hostname: HOST, port },
    inspector: false,
    persist: state,
    remote: false,
  },
});
let reloaded;
worker.raw.on("reloadComplete", (event) => (reloaded = event));
await worker.ready;
const url = `http://${HOST}:${port}`;
// The cron trigger's pass brings D1's schema up, so that a first look into it finds tables.
await cron();
writeFileSync(note, `${process.pid}\n`);
process.on("exit", () => rmSync(note, { force: true }));
console.log(`Steadfast answers at ${url} and keeps its state in ${state}. Ctrl-C ends it.`);
tellNewProxies(
  port,
  () => reloaded && worker.raw.proxy.onReloadComplete(reloaded),
  () => fetch(`${url}/healthz`, { signal: AbortSignal.timeout(HEALTH_MS) }).then((answer) => answer.ok, () => false),
);
setInterval(cron, CRON_MS);

async function cron() {
  try {
    const answer = await fetch(`${url}${CRON_PATH}`);
    await answer.text();
  } catch (error) {
    // The runtime is being replaced after a change; the next minute comes.
    console.error(`make dev: the cron trigger was not delivered: ${error.message}`);
  }
}
