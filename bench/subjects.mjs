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
import { builtPeer } from "./peers/build.mjs";

const HERE = import.meta.dirname;
const WRANGLER = readFileSync(resolve(HERE, "..", "wrangler.toml"), "utf8");

/** `protocol` says which client speaks to a subject: measure.mjs or peers/client.mjs. */
const steadfast = (subject) => ({ protocol: "steadfast", ...subject });
const peer = (subject) => ({ protocol: "ai-chat", stateful: true, resumes: true, ...subject });

export const PASS = steadfast({ key: "pass", title: "pass-through", source: "pass_through.js" });
export const EVENT = steadfast({
  key: "event",
  title: "a D1 insert an event",
  source: "per_event.js",
  stateful: true,
});
/** Cloudflare's AIChatAgent, as its documentation's first example has it, and without the AI SDK in the Worker. */
export const AI_SDK = peer({ key: "ai-sdk", title: "ai-chat, AI SDK", peer: "ai_sdk" });
export const AI_CHAT = peer({ key: "ai-chat", title: "ai-chat alone", peer: "ai_chat" });
export const PEERS = [AI_SDK, AI_CHAT];
/** The windows that are compared; 50 ms is the default. */
export const OURS = [0, 50, 110].map((windowMs) =>
  steadfast({
    key: `ours${windowMs}`,
    title: `ours, ${windowMs} ms`,
    windowMs,
    ours: true,
    stateful: true,
    resumes: true,
  }),
);
export const DEFAULT = OURS.find(({ windowMs }) => windowMs === 50);

const named = (subject) => ({ ...subject, name: `bench-${subject.key}` });
const metered = (subject) => ({ ...subject, name: `bench-${subject.key}-metered`, isMetered: true });

export const SUBJECTS = [PASS, EVENT, ...PEERS, ...OURS].map(named);
export const METERED = [EVENT, ...PEERS, ...OURS].map(metered);

/** Where a subject's code is; a peer's is built by peers/build.mjs, with the name and class that its routing asks for. */
function code({ source, ours, peer }) {
  if (ours) return { buildDir: BUILD };
  if (!peer) return { source: join(HERE, "workers", source) };
  return {
    buildDir: builtPeer(peer),
    objects: { ChatAgent: "ChatAgent" },
    compatibilityFlags: ["nodejs_compat"],
  };
}

/** A subject as the host takes it. */
function worker(subject, upstreamUrl) {
  const { name, windowMs, ours, stateful, isMetered } = subject;
  return {
    name,
    stateful,
    ...code(subject),
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

/**
 * Serves all subjects, or of the unmetered ones those whose `key` is in `only`: their addresses by name, the
 * upstream's, and where their state is. `kill` takes the runtime away with SIGKILL and waits until another serves at
 * the same addresses.
 */
export async function start({ only = null } = {}) {
  const served = only === null ? [...SUBJECTS, ...METERED] : SUBJECTS.filter(({ key }) => only.includes(key));
  if (only !== null && served.length !== only.length) throw new Error(`not all of these are subjects: ${only}`);
  const stateDir = mkdtempSync(join(tmpdir(), "steadfast-bench-"));
  const children = [];
  const stop = async () => {
    for (const child of children.toReversed()) await ended(child);
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const upstream = await started("upstream.mjs", {});
    children.push(upstream.child);
    const workers = served.map((subject) => worker(subject, upstream.said.url));
    const host = await started("host.mjs", { workers, stateDir, ...compatibility() });
    children.push(host.child);
    return {
      urls: host.said.urls,
      upstreamUrl: upstream.said.url,
      stateDir,
      host: host.child,
      kill: () => killed(host.child),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resolves when the runtime that the host starts by itself serves. */
async function killed(host) {
  const restarted = once(host, "message");
  host.send({ kind: "kill" });
  const [said] = await restarted;
  if (!said.restarted) throw new Error(`the host said something else: ${JSON.stringify(said)}`);
}
