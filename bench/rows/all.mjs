// The rows of the report, in its order.

import boot from "./boot.mjs";
import burst from "./burst.mjs";
import cost from "./cost.mjs";
import cpu from "./cpu.mjs";
import first from "./first.mjs";
import growth from "./growth.mjs";
import kills from "./kills.mjs";
import line from "./line.mjs";
import many from "./many.mjs";
import memory from "./memory.mjs";
import recovery from "./recovery.mjs";
import replay from "./replay.mjs";
import resume from "./resume.mjs";
import size from "./size.mjs";
import viewers from "./viewers.mjs";

export const ROWS = [
  first,
  line,
  burst,
  cost,
  resume,
  kills,
  recovery,
  replay,
  viewers,
  many,
  cpu,
  memory,
  size,
  boot,
  growth,
];
