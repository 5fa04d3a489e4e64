import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Worker } from "node:worker_threads";
import { RAW, Rest } from "../src/index.js";
import { connect } from "../src/worker.js";
import { Engine, sockets, until } from "./engine.js";

let engine;
before(async () => {
  const command = ["python", "-m", "finstream_ingestors.sim", "--rate", "1000"];
  engine = await Engine.start({ assets: { sim: { command, origin: "synthetic" } } });
});
after(() => engine.clean());

const SERVE = JSON.stringify(new URL("../src/serve.js", import.meta.url).href);
const withNodesOwn = () => new Worker(`import(${SERVE}).then(({ serve }) => serve({ WebSocket: globalThis.WebSocket }))`, { eval: true });
const options = (more) => ({ stream: engine.stream, ...(sockets.WebSocket && !more?.worker && { worker: withNodesOwn() }), ...more });

test("the same face, with the connection in a worker", async () => {
  const client = connect(engine.public, options({ decimal: (text) => ({ text }) }));
  const told = [];
  client.on("message", (message) => told.push(message.notice ?? message.type));
  const welcome = await client.ready;
  assert.equal(welcome.client, client.uuid);
  assert.equal(client.state, "open");
  await assert.rejects(client.subscribe("nothing"), { name: "FinStreamError", type: "urn:finstream:problem:unknown-asset" });
  let last = 0;
  for await (const tick of client.stream("sim")) {
    assert.ok(last === 0 || tick.seq === last + 1);
    last = tick.seq;
    assert.equal(JSON.parse(tick[RAW]).seq, last);
    assert.ok((tick.price ?? tick.bid_price).text);
    if (told.length > 500) break;
  }
  assert.deepEqual(told.slice(0, 4), ["registered", "connected", "welcome", "error"]);
  assert.equal((await client.rest.assets())[0].name, "sim");
  const { uuid } = client;
  await client.close();
  assert.equal(told.at(-1), "ended");
  assert.equal(client.state, "closed");
  await assert.rejects(new Rest(engine.public).client(uuid), { status: 404 });
});

test("while the page is busy the worker asks for less; afterwards nothing is missing untold", async () => {
  const client = connect(engine.public, options({ whenBehind: true, behindMs: 300, calmMs: 500, buffer: 200 }));
  const behind = [], ticks = [];
  let lost = 0;
  client.on("behind", (notice) => behind.push(notice.behind));
  client.on("lost", ({ count }) => (lost += count));
  client.on("data", (tick) => ticks.push(tick));
  await client.subscribe("sim");
  await until(() => ticks.length > 100);
  const busyUntil = performance.now() + 1500;
  while (performance.now() < busyUntil); // a page that computes
  await until(() => behind.length >= 1);
  assert.equal(behind[0], true);
  await until(() => ticks.some(({ conflated }) => conflated));
  await until(() => behind.at(-1) === false);
  const from = ticks.length;
  await until(() => ticks.length > from + 300);
  const tail = ticks.slice(-100);
  assert.ok(tail.every(({ seq }, i) => i === 0 || seq === tail[i - 1].seq + 1), "everything again");
  // With a max_rate a symbol's newest can overtake another symbol's: compare the numbers, not their order.
  const published = Math.max(...ticks.map(({ seq }) => seq)) - ticks[0].seq + 1;
  assert.equal(ticks.length + ticks.reduce((sum, { conflated = 0 }) => sum + conflated, 0) + lost, published);
  await client.close();
});

test("a worker of the caller's own, and one that cannot be loaded", async () => {
  const own = JSON.stringify(new URL("../src/node-socket.js", import.meta.url).href);
  const program = `Promise.all([import(${SERVE}), import(${own})])
    .then(([{ serve }, { NodeSocket }]) => serve({ WebSocket: NodeSocket }))`;
  const client = connect(engine.public, options({ worker: new Worker(program, { eval: true }) }));
  assert.equal((await client.stream("sim").next()).value.asset, "sim");
  await client.close();
  const broken = connect(engine.public, options({ worker: new Worker("throw new Error('broken')", { eval: true }) }));
  await assert.rejects(broken.stream("sim").next(), { code: "worker_failed", message: "broken" });
});

test("decimals that the caller's function refuses end the client with its error, not the program", async () => {
  const client = connect(engine.public, options({ decimal: () => { throw new RangeError("no decimal"); } }));
  await assert.rejects(client.stream("sim").next(), { name: "RangeError", message: "no decimal" });
  assert.equal(client.state, "closed");
  await assert.rejects(client.subscribe("sim"), { name: "RangeError" });
  await client.close();
});

test("a source's own data cannot pass for what the client itself has to say", () => {
  const worker = { postMessage() {}, terminate() {} };
  const client = connect("http://127.0.0.1:1", { worker });
  const told = [];
  client.on("data", ({ notice }) => told.push(notice));
  const forged = ["ended", "registered", "connected"].map((notice, i) => ({ type: "news", asset: "a", seq: i + 1, notice, uuid: "forged", epoch: "forged" }));
  worker.onmessage({ data: { batch: forged.map((message) => JSON.stringify(message)) } });
  assert.deepEqual(told, ["ended", "registered", "connected"]);
  assert.deepEqual([client.uuid, client.epoch, client.state], [undefined, undefined, "connecting"]);
});

test("what ends the client in the worker ends it here", async () => {
  const client = connect("http://127.0.0.1:1", {});
  await assert.rejects(client.ready, { name: "FinStreamError", code: "unreachable" });
  assert.equal(client.state, "closed");
});
