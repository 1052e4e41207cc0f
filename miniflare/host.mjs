// One Worker in one workerd, as a process of its own.
//
// Owns the Miniflare instance and answers its parent over IPC. It is a separate process so that a test can
// take the whole runtime away with SIGKILL, the restarting supervisor included, and start it anew.
// It does not decide when to live: it ends when its parent says so or goes away.

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";

const { buildDir, name, compatibilityDate, compatibilityFlags, objects, port, stateDir, vars } = JSON.parse(
  process.argv[2],
);

/** The modules of a build, found by their extension; the entry is `index.js`. */
function modules(dir) {
  const found = {};
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const type = entry.name.endsWith(".wasm") ? "wasm" : /\.m?js$/.test(entry.name) ? "esm" : null;
    if (type === null) continue;
    const contents = readFileSync(path);
    found[relative(dir, path)] = { type, contents: type === "esm" ? contents.toString() : contents };
  }
  return found;
}

/** The Worker's bindings, as `wrangler.toml` names them. */
function bindings() {
  const env = { DB: { type: "d1", id: "DB" } };
  for (const [binding, exportName] of Object.entries(objects)) {
    env[binding] = { type: "durable-object", worker: name, exportName };
  }
  for (const [key, value] of Object.entries(vars)) env[key] = { type: "text", value };
  return env;
}

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port,
  log: new Log(LogLevel.WARN),
  logRequests: false,
  // Otherwise every start asks a host of the vendor for a sample of `request.cf`.
  cf: false,
  resourcePersistencePath: stateDir,
  telemetry: { enabled: false },
  unsafeTriggerHandlers: true,
  unsafeHandleRuntimeRestart: () => process.send({ kind: "restarted" }),
  workers: [
    {
      config: {
        name,
        compatibilityDate,
        compatibilityFlags,
        manifest: { mainModule: "index.js", modulesRoot: buildDir, modules: modules(buildDir) },
        env: bindings(),
        exports: Object.fromEntries(
          Object.values(objects).map((className) => [className, { type: "durable-object", storage: "sqlite" }]),
        ),
      },
      dev: { rootPath: buildDir },
    },
  ],
});

async function query({ sql, params }) {
  const database = await miniflare.getD1Database("DB");
  return (
    await database
      .prepare(sql)
      .bind(...params)
      .all()
  ).results;
}

/** Asks an object past the Worker, as a Worker of another release would. */
async function ask({ binding, name, body }) {
  const namespace = await miniflare.getDurableObjectNamespace(binding);
  const stub = namespace.get(namespace.idFromName(name));
  const answer = await stub.fetch("http://session.invalid/", { method: "POST", body });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
}

process.on("message", async (request) => {
  if (request.kind === "stop") {
    await miniflare.dispose();
    process.disconnect();
    return;
  }
  try {
    const answer = request.kind === "object" ? await ask(request) : await query(request);
    process.send({ id: request.id, answer });
  } catch (error) {
    process.send({ id: request.id, error: String(error) });
  }
});

// A parent that died can't ask; without this a crashed test run would leave a workerd behind.
process.on("disconnect", async () => {
  await miniflare.dispose();
  process.exit(0);
});

// A terminal's Ctrl-C reaches the whole process group; the parent decides when this runtime ends.
process.on("SIGINT", () => {});

try {
  const url = await miniflare.ready;
  process.send({ kind: "ready", url: url.origin });
} catch (error) {
  process.send({ kind: "failed", error: String(error?.stack ?? error) });
  process.exit(1);
}
