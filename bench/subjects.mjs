// What is measured: the Workers, and the one runtime and the one upstream that serve them all.
//
// Owns the list of subjects and the two processes. Invariant: `stop` ends what `start` started, and the state folder
// goes with it.

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BUILD } from "../miniflare/harness.mjs";

const HERE = import.meta.dirname;
const WRANGLER = readFileSync(resolve(HERE, "..", "wrangler.toml"), "utf8");

export const PASS = { key: "pass", title: "pass-through", source: "pass_through.js" };
export const EVENT = { key: "event", title: "a D1 insert an event", source: "per_event.js", stateful: true };
/** The windows that are compared; 50 ms is the default. */
export const OURS = [0, 50, 110].map((windowMs) => ({
  key: `ours${windowMs}`,
  title: `ours, ${windowMs} ms`,
  windowMs,
  ours: true,
  stateful: true,
}));
export const DEFAULT = OURS.find(({ windowMs }) => windowMs === 50);

const named = (subject) => ({ ...subject, name: `bench-${subject.key}` });
const metered = (subject) => ({ ...subject, name: `bench-${subject.key}-metered`, isMetered: true });

export const SUBJECTS = [PASS, EVENT, ...OURS].map(named);
export const METERED = [EVENT, ...OURS].map(metered);

/** A subject as the host takes it. */
function worker({ name, source, windowMs, ours, stateful, isMetered }, upstreamUrl) {
  return {
    name,
    stateful,
    ...(ours ? { buildDir: BUILD } : { source: join(HERE, "workers", source) }),
    ...(isMetered ? { meteredBy: join(HERE, "workers", "metered.js") } : {}),
    vars: {
      UPSTREAM_URL: upstreamUrl,
      ...(ours ? { AUTH_MODE: "none", UPSTREAM: "sandbox", COMMIT_WINDOW_MS: windowMs } : {}),
    },
  };
}

export function compatibility() {
  const date = WRANGLER.match(/^compatibility_date\s*=\s*"([^"]+)"/m);
  const flags = WRANGLER.match(/^compatibility_flags\s*=\s*\[([^\]]*)\]/m);
  if (!date) throw new Error("wrangler.toml has no compatibility_date");
  return {
    compatibilityDate: date[1],
    compatibilityFlags: [...(flags?.[1] ?? "").matchAll(/"([^"]+)"/g)].map((match) => match[1]),
  };
}

/** Starts a process of this folder and waits for what it says first. */
export async function started(file, options) {
  const child = fork(join(HERE, file), [JSON.stringify(options)], {
    // The Workers' log lines would be written over the table.
    stdio: ["ignore", process.env.STEADFAST_LOG ? "inherit" : "ignore", "inherit", "ipc"],
  });
  const [said] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(() => [{ error: `${file} ended at its start` }]),
  ]);
  if (said.error) throw new Error(said.error);
  return { child, said };
}

export async function ended(child) {
  const gone = once(child, "exit");
  child.disconnect();
  await gone;
}

/** Serves all subjects: their addresses by name, the upstream's, and where their state is. */
export async function start() {
  const stateDir = mkdtempSync(join(tmpdir(), "steadfast-bench-"));
  const upstream = await started("upstream.mjs", {});
  const workers = [...SUBJECTS, ...METERED].map((subject) => worker(subject, upstream.said.url));
  const host = await started("host.mjs", { workers, stateDir, ...compatibility() });
  return {
    urls: host.said.urls,
    upstreamUrl: upstream.said.url,
    stateDir,
    async stop() {
      await ended(host.child);
      await ended(upstream.child);
      rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
