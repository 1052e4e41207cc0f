// What is in a database file of ours, read without asking the Worker.

/** Lines of a run in a database, which may have no tables yet. */
export function linesIn(database, runId) {
  const known = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'stream_log'").get();
  if (!known) return 0;
  const sum = "SELECT coalesce(sum(count), 0) AS lines FROM stream_log WHERE run_id = ?";
  return database.prepare(sum).get(runId).lines;
}
