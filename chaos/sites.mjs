// The named places at which a campaign does harm or behaves as clients do, and how often each was reached.
//
// Owns the list: a campaign in which one of them was never reached proves nothing about it and fails.

/** What processes and stores suffer: `objects:` in the ready Worker, `plain:` in two processes over one D1. */
export const OBJECT_FAULTS = [
  "objects: SIGKILL of workerd",
  "objects: SIGKILL of everything",
  "objects: SIGSTOP, SIGCONT",
  "objects: D1 locked",
  "objects: storage of all objects lost",
  "objects: sweep",
];
export const PLAIN_FAULTS = [
  "plain: SIGKILL of one workerd",
  "plain: SIGKILL of one process",
  "plain: stopped past its lease",
  "plain: cron",
];

/** What the upstream does; the names after the colon are those of its scripts. */
export const UPSTREAM_FAULTS = [
  "upstream: dropAfter",
  "upstream: closeAfter",
  "upstream: stallAfter",
  "upstream: cutMidFrame",
  "upstream: cutMidUtf8",
  "upstream: repeatFrames",
  "upstream: replayAll",
  "upstream: dropBeforeHead",
  "upstream: startFirst",
  "upstream: status 503",
  "upstream: status 429",
  "upstream: status 410",
  "upstream: chat dropAfter",
  "upstream: chat closeAfter",
  "upstream: chat stallAfter",
];

/** What clients do. */
export const CLIENTS = [
  "client: turn by key",
  "client: turn by index",
  "client: submits again after a cut",
  "client: follows again after a cut",
  "client: twenty submits at once",
  "client: another body under the key",
  "client: replay of a finished turn",
  "client: viewer from a random cursor",
  "client: viewer over SSE",
  "client: slow viewer",
  "client: leaves in mid-line",
  "client: look at the present end",
  "client: cancel in the middle",
  "client: cancel beside the end",
  "client: nobody stays",
  "client: task approved before its wait",
  "client: task approved while it waits",
  "client: two payloads of one event",
];

export class Sites {
  counts = new Map();

  constructor(names) {
    for (const name of names) this.counts.set(name, 0);
  }

  hit(name, times = 1) {
    if (!this.counts.has(name)) throw new Error(`no such site: ${name}`);
    this.counts.set(name, this.counts.get(name) + times);
  }

  get missed() {
    return [...this.counts].filter(([, count]) => count === 0).map(([name]) => name);
  }
}
