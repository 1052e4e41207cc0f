// All measured Workers in one workerd, as a process of its own.
//
// Owns the Miniflare instance: each Worker has an object class, a D1 database and a socket of its own, so that none is
// measured through another. It ends when its parent says so or goes away.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";

const { workers, stateDir, compatibilityDate, compatibilityFlags } = JSON.parse(process.argv[2]);

const script = (path) => ({ type: "esm", contents: readFileSync(path, "utf8") });

/** The modules of a built Worker, by their path in the build. */
function built(dir) {
  const modules = {};
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.name.endsWith(".js")) modules[relative(dir, path)] = script(path);
    if (entry.name.endsWith(".wasm"))
      modules[relative(dir, path)] = { type: "wasm", contents: readFileSync(path) };
  }
  return modules;
}

const classes = (objects) =>
  Object.fromEntries(
    Object.values(objects).map((exportName) => [exportName, { type: "durable-object", storage: "sqlite" }]),
  );

function worker({ name, buildDir, source, meteredBy, vars, stateful, ...own }) {
  const objects = own.objects ?? { SESSIONS: "SessionObject" };
  const modules = buildDir ? built(buildDir) : { "index.js": script(source) };
  if (meteredBy) modules["metered.js"] = script(meteredBy);
  const env = {};
  for (const [key, value] of Object.entries(vars)) env[key] = { type: "text", value: String(value) };
  if (stateful) {
    env.DB = { type: "d1", id: name };
    for (const [binding, exportName] of Object.entries(objects))
      env[binding] = { type: "durable-object", worker: name, exportName };
  }
  return {
    config: {
      name,
      compatibilityDate,
      compatibilityFlags: own.compatibilityFlags ?? compatibilityFlags,
      manifest: {
        mainModule: meteredBy ? "metered.js" : "index.js",
        modulesRoot: stateDir,
        modules,
      },
      env,
      exports: stateful ? classes(objects) : {},
    },
    dev: { rootPath: stateDir, unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
  };
}

let killing = false;

/** Takes workerd away, which alone of this process' children bears that name; Miniflare starts the next one. */
function kill() {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
  const children = rows.map((row) => row.trim().split(/\s+/)).filter((row) => Number(row[1]) === process.pid);
  const workerd = children.find((row) => basename(row[2]).startsWith("workerd"));
  killing = true;
  process.kill(Number(workerd[0]), "SIGKILL");
}

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  log: new Log(LogLevel.WARN),
  logRequests: false,
  cf: false,
  resourcePersistencePath: stateDir,
  telemetry: { enabled: false },
  unsafeHandleRuntimeRestart() {
    // The turn that it cut fails the bench; this says why.
    if (!killing) console.error("workerd ended by itself and was started again");
    else process.send({ restarted: true });
    killing = false;
  },
  workers: workers.map(worker),
});

async function end() {
  await miniflare.dispose();
  if (process.connected) process.disconnect();
}

process.on("message", (said) => (said?.kind === "kill" ? kill() : end()));
process.on("disconnect", () => end().then(() => process.exit(0)));
// A terminal's Ctrl-C reaches the whole process group; the parent decides when this runtime ends.
process.on("SIGINT", () => {});

try {
  await miniflare.ready;
  const urls = {};
  for (const { name } of workers) urls[name] = (await miniflare.unsafeGetDirectURL(name)).origin;
  process.send({ urls });
} catch (error) {
  process.send({ error: String(error?.stack ?? error) });
  process.exit(1);
}
