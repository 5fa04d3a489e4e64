import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Engine } from "./engine.js";
import { run } from "./example.js";

let engine;
before(async () => {
  engine = await Engine.start({ assets: { quick: { command: ["python", "-m", "finstream_ingestors.sim", "--rate", "50"], origin: "synthetic" } } });
});
after(() => engine.clean());

test("best-source follows the best source, and tells whom", async () => {
  const { code, lines, errors } = await run(engine, "best-source.mjs", ["BTC/USDT"], /^quick /);
  assert.equal(code, 0, errors);
  assert.equal(lines[0], "--- from nobody to quick: first", lines.join("\n"));
  assert.match(lines[1], /^quick BTC\/USDT (quote|[\d.]+) [\d.]+ [\d.]+$/);
});
