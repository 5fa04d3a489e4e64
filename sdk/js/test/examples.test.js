import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Candles } from "../examples/candles.js";
import { Engine } from "./engine.js";
import { execute, run as runExample } from "./example.js";

let engine;
before(async () => {
  const simulator = (...more) => ({ command: ["python", "-m", "finstream_ingestors.sim", "--rate", "50", ...more], origin: "synthetic" });
  engine = await Engine.start({ assets: { quick: simulator(), late: simulator("--lag-ms", "800") } });
});
after(() => engine.clean());

const run = (name, topics, last, addresses = engine) => runExample(addresses, name, topics, last);

test("print-ticks prints ticks until Ctrl-C", async () => {
  const { code, lines, errors } = await run("print-ticks.mjs", ["quick:BTC/USDT"], / \/ /);
  assert.equal(code, 0, errors);
  for (const line of lines) assert.match(line, /^quick BTC\/USDT \d+ [\d.]+( \/ [\d.]+)? [\d.]+ ms$/);
});

test("print-ticks says why it cannot", async () => {
  const refused = await run("print-ticks.mjs", ["nothing"], /./);
  assert.deepEqual([refused.code, refused.lines], [1, []]);
  assert.match(refused.errors, /there is no asset 'nothing'/);
  const nobody = await run("print-ticks.mjs", ["quick"], /./, { public: "http://127.0.0.1:1", stream: "ws://127.0.0.1:1" });
  assert.equal(nobody.code, 1);
  assert.match(nobody.errors, /^no answer from http:\/\/127.0.0.1:1: is the engine running\?/);
});

test("the others say why they cannot, too", async () => {
  for (const name of ["best-source.mjs", "lag-alarm.mjs"]) {
    const { code, errors } = await run(name, ["nothing"], /./, { public: "http://127.0.0.1:1", stream: "ws://127.0.0.1:1" });
    assert.equal(code, 1, name);
    assert.match(errors, /^no answer from http:\/\/127.0.0.1:1: is the engine running\?/, name);
  }
});

test("lag-alarm says which source is late", async () => {
  const { code, lines, errors } = await run("lag-alarm.mjs", ["late", "500"], /LATE/);
  assert.equal(code, 0, errors);
  const told = lines.find((line) => line.includes("LATE"));
  assert.match(told, /^late: LATE, ([89]\d\d|\d{4,})\.\d ms$/, lines.join("\n"));
});

const [first, inEvents, inWorker] = [...readFileSync(new URL("../README.md", import.meta.url), "utf8").matchAll(/^```js\n([^]*?)^```$/gm)]
  .map(([, program]) => program
    .replace('"finstream-client"', JSON.stringify(new URL("../src/index.js", import.meta.url).href))
    .replace('"finstream-client/worker"', JSON.stringify(new URL("../src/worker.js", import.meta.url).href))
    .replaceAll("binance", "quick").replaceAll("kraken", "late"));
const here = (program, options = "") => program
  .replace('"http://127.0.0.1:8080"', JSON.stringify(engine.public))
  .replace(/connect\(("[^"]+")(?:, \{(.*?)\})?\)/, (_, url, own) => `connect(${url}, { stream: ${JSON.stringify(engine.stream)}, ${own ?? ""}${options} })`);
async function runProgram(program, last) {
  const path = join(engine.directory, "program.mjs");
  await writeFile(path, program);
  return execute(engine, [path], last);
}

test("what the README shows first runs as it is, but for the addresses and the topic", async () => {
  const { lines, errors } = await runProgram(here(first), /./);
  assert.match(lines[0] ?? errors, /^BTC\/USDT /);
});

test("so does what it shows in events", async () => {
  const { lines, errors } = await runProgram(`${here(inEvents)}console.log("closed");`, /^closed$/);
  assert.equal(lines.at(-1), "closed", errors);
});

test("and what it shows in a worker", async () => {
  const program = `${here(inWorker)}for await (const { symbol } of client.stream("quick")) console.log(symbol);`;
  const { lines, errors } = await runProgram(program, /USDT/);
  assert.match(lines[0] ?? errors, /USDT$/);
});

test("candles: trades where there are some, else the middle of the quote; late ones change nothing that is finished", () => {
  const candles = new Candles(5, 2);
  const at = (seconds, prices) => candles.add({ ts_event: seconds * 1e6, ...prices });
  at(10, { price: "100.5" });
  at(11, { price: "102" });
  at(14.9, { bid_price: "99", ask_price: "100" });
  at(15, { price: "101" });
  at(12, { price: "500" });
  at(16, {});
  assert.deepEqual(candles.bars, [
    { start: 10, open: 100.5, high: 102, low: 99.5, close: 99.5 },
    { start: 15, open: 101, high: 101, low: 101, close: 101 },
  ]);
  at(30, { price: "1" });
  assert.deepEqual(candles.bars.map(({ start }) => start), [15, 30]);
});
