// A Worker with a meter around its storage: the same code, every row that it writes counted.
//
// Owns the counting. The object's statements are counted by their cursors' `rowsWritten`, D1's by `meta.rows_written`:
// both are the runtime's own counters, by which the platform bills, index rows included. An alarm that is set is one
// row by the platform's price list, and so is each key that is put into or deleted from the key-value store.
// Invariant: what the Worker sees of its storage is unchanged.

import { DurableObject } from "cloudflare:workers";
import * as worker from "./index.js";

// Classes of other objects, whose statements count once a session's object was there.
export * from "./index.js";

const counted = { d1: 0, alarms: 0 };
let keys = 0;
// Read when they are asked for: a cursor's count is final only once its last row was taken.
const cursors = [];

const total = () => ({
  object: cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, keys),
  ...counted,
});

const ofD1 = (result) => {
  counted.d1 += result.meta?.rows_written ?? 0;
};

/** Replaces a method of a prototype, once in the isolate. */
function wrap(object, method, around) {
  const prototype = Object.getPrototypeOf(object);
  const original = prototype[method];
  if (original.isMetered) return;
  prototype[method] = Object.assign(
    function (...given) {
      return around(() => original.apply(this, given), given);
    },
    { isMetered: true },
  );
}

/** Keys that one call of the key-value store writes: one, a list's, or an object's. */
function keysOf(given) {
  if (typeof given === "string") return 1;
  return Array.isArray(given) ? given.length : Object.keys(given).length;
}

function meterKeys(store) {
  for (const method of ["put", "delete"]) {
    wrap(store, method, (call, [key]) => {
      keys += keysOf(key);
      return call();
    });
  }
}

function meter(storage, database) {
  meterKeys(storage);
  meterKeys(storage.kv);
  wrap(storage.sql, "exec", (call) => {
    const cursor = call();
    cursors.push(cursor);
    return cursor;
  });
  wrap(storage, "setAlarm", (call) => {
    counted.alarms += 1;
    return call();
  });
  wrap(database, "batch", async (call) => {
    const results = await call();
    results.forEach(ofD1);
    return results;
  });
  // `first` and `raw` give no meta; nothing here writes by them.
  const statement = database.prepare("SELECT 1");
  for (const method of ["run", "all"]) {
    wrap(statement, method, async (call) => {
      const result = await call();
      ofD1(result);
      return result;
    });
  }
}

/** A class whose objects' storage is metered from their constructor on. */
function meteredClass(original) {
  const metered = new Proxy(original, {
    construct(target, [context, env], newTarget) {
      meter(context.storage, env.DB);
      return Reflect.construct(target, [context, env], newTarget === metered ? target : newTarget);
    },
  });
  return metered;
}

// A Worker has one of the two; the other name stands for a class that nobody binds, since an export must be something.
const metered = (name) => meteredClass(worker[name] ?? class extends DurableObject {});

export const SessionObject = metered("SessionObject");
export const ChatAgent = metered("ChatAgent");

/** Both shapes of a default export: a class, as Rust Workers have, and a plain object. */
function answer(request, env, context) {
  if (typeof worker.default === "function") return new worker.default(context, env).fetch(request);
  return worker.default.fetch(request, env, context);
}

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/__rows") return Response.json(total());
    return answer(request, env, context);
  },
};
