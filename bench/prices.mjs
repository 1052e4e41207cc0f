// What Cloudflare asks for, and what a turn costs by it.
//
// Owns the one table of prices: USD beyond what a paid plan includes, as published on the day it names.

export const PRICES = {
  readOn: "2026-11-21",
  sources: [
    "https://developers.cloudflare.com/workers/platform/pricing/",
    "https://developers.cloudflare.com/durable-objects/platform/pricing/",
    "https://developers.cloudflare.com/d1/platform/pricing/",
  ],
  /** A million rows, of D1 and of objects' SQLite alike; index rows count, and an alarm that is set is one. */
  rowsWritten: 1.0,
  /** A million requests to a Worker. */
  workerRequests: 0.3,
  /** A million requests to objects; an alarm that fires is one. */
  objectRequests: 0.15,
  /** A million GB-s; an object is billed as 128 MB, however many share an isolate. */
  objectGigabyteSeconds: 12.5,
};

const OBJECT_GIGABYTES = 0.128;

/**
 * Dollars for a million turns of which each writes `rows`, sets `alarms` among them, and keeps an object for
 * `objectSeconds`. Every alarm that is set is taken to fire, which is too many rather than too few. Left out: rows read
 * (a thousandth of a written one), a Worker's CPU time (objects pay none), storage, and the model.
 */
export function dollarsPerMillionTurns({ rows, alarms, objectSeconds }) {
  const parts = {
    rows: rows * PRICES.rowsWritten,
    requests: PRICES.workerRequests + (objectSeconds > 0 ? (1 + alarms) * PRICES.objectRequests : 0),
    duration: objectSeconds * OBJECT_GIGABYTES * PRICES.objectGigabyteSeconds,
  };
  return { ...parts, total: parts.rows + parts.requests + parts.duration };
}
