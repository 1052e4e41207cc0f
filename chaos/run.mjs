// `make chaos MINUTES=n SEED=s`: campaigns over the built Workers in real workerd, and what came out.
//
// Owns the time, the seeds and the report. A long run is several campaigns, each with a fresh state and the next
// seed, so that neither memory nor files grow with its length.

import { campaign } from "./campaign.mjs";

const MINUTES = Number(process.env.MINUTES ?? 0.5);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
/** One campaign's time at most. */
const CAMPAIGN_MS = 180_000;
const SHOWN = 12;

const total = MINUTES * 60_000;
if (!(total > 0) || !Number.isInteger(SEED)) {
  console.error("MINUTES is a number above 0, SEED an integer");
  process.exit(2);
}

const rounds = Math.ceil(total / CAMPAIGN_MS);
let failed = 0;
for (let round = 0; round < rounds; round++) {
  const seed = SEED + round;
  const ms = total / rounds;
  const minutes = Number((ms / 60_000).toFixed(3));
  console.log(`chaos: SEED=${seed} MINUTES=${minutes}, campaign ${round + 1} of ${rounds}`);
  const { judgement, sites, folders, settledMs, counts } = await campaign({ seed, ms });
  report(judgement, sites, settledMs, counts);
  if (judgement.violations.length > 0) {
    failed += 1;
    for (const { law, where, evidence } of judgement.violations.slice(0, SHOWN))
      console.log(`  VIOLATION of ${law}: ${where}\n    ${evidence}`);
    const where = folders.join(" and ");
    console.log(`  ${judgement.violations.length} violations; state and violations.json stay in ${where}`);
  }
  console.log(`chaos: SEED=${seed} ${judgement.violations.length === 0 ? "passed" : "FAILED"}`);
}
process.exit(failed > 0 ? 1 : 0);

function report(judgement, sites, settledMs, counts) {
  const { lines, reads, lost, doubled, differing, outcomes } = judgement;
  const { sessions, turns, requests, reattaches, viewers, autopsies, cutByKills, bytes } = counts;
  const ends = Object.entries(outcomes).map(([name, count]) => `${count} ${name}`);
  console.log(`  ${sessions} sessions, ${turns} turns (${ends.join(", ")}), ${lines} lines`);
  const read = `${reads} streams read (${(bytes / 1e6).toFixed(1)} MB)`;
  console.log(`  ${requests} requests, ${read}, ${reattaches} re-attaches, ${viewers} viewers`);
  console.log(`  ${autopsies} stores examined after SIGKILL for what ${cutByKills} cut connections had brought`);
  console.log(`  settled ${(settledMs / 1_000).toFixed(1)} s after the last turn's end`);
  for (const [name, count] of sites.counts) console.log(`  ${String(count).padStart(6)}  ${name}`);
  console.log(`  lost ${lost}, doubled ${doubled}, read otherwise ${differing}`);
}
