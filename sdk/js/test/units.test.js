import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { Continuity } from "../src/continuity.js";
import { Face } from "../src/face.js";
import { Rest } from "../src/index.js";
import { Pace } from "../src/pace.js";
import { Queue } from "../src/queue.js";

test("pauses double up to the cap, each between half of it and all of it", () => {
  const shortest = new Backoff({}, () => 0);
  const longest = new Backoff({}, () => 1);
  assert.deepEqual(Array.from({ length: 8 }, () => shortest.next()), [250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
  assert.deepEqual(Array.from({ length: 8 }, () => longest.next()), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  longest.reset();
  assert.equal(longest.next(), 500);
});

const data = (seq, asset = "a") => ({ type: "tick", asset, seq });

test("missing numbers of a whole asset are lost, also over a reconnection, but not in another epoch", () => {
  const continuity = new Continuity();
  assert.equal(continuity.welcome({ epoch: "one" }), false);
  assert.equal(continuity.data(data(7), true), undefined);
  assert.equal(continuity.data(data(8), true), undefined);
  assert.deepEqual(continuity.data(data(11), true), { notice: "lost", asset: "a", first_seq: 9, last_seq: 10, count: 2 });
  assert.equal(continuity.welcome({ epoch: "one" }), false);
  assert.equal(continuity.data(data(20), true).count, 8);
  assert.equal(continuity.welcome({ epoch: "two" }), true);
  assert.equal(continuity.data(data(3), true), undefined);
});

test("of symbols and of what is merged nothing is said, and what was unsubscribed begins anywhere", () => {
  const continuity = new Continuity();
  continuity.data(data(1), true);
  assert.equal(continuity.data(data(5), false), undefined);
  assert.equal(continuity.data(data(9), true), undefined);
  continuity.unsubscribed({ topics: ["a"] });
  assert.equal(continuity.data(data(90), true), undefined);
});

test("what a gap tells is not lost, but what is missing before it is", () => {
  const continuity = new Continuity();
  continuity.data(data(1), true);
  assert.equal(continuity.gap({ asset: "a", first_seq: 2, last_seq: 5 }, true), undefined);
  assert.equal(continuity.data(data(6), true), undefined);
  assert.deepEqual(continuity.gap({ asset: "a", first_seq: 9, last_seq: 12 }, true), {
    notice: "lost", asset: "a", first_seq: 7, last_seq: 8, count: 2,
  });
  assert.equal(continuity.data(data(13), true), undefined);
});

test("a reader that is too slow loses data, not control messages, and goes on with now", async () => {
  const dropped = [];
  const queue = new Queue(4, (messages) => dropped.push(...messages.map(({ seq }) => seq)), () => {});
  queue.push({ type: "warning" });
  for (const seq of [1, 2, 3, 4, 5]) queue.push(data(seq));
  assert.deepEqual(dropped, [1, 2, 3]);
  queue.end();
  const read = [];
  for await (const message of queue) read.push(message.seq ?? message.type);
  assert.deepEqual(read, ["warning", 4, 5]);
});

test("each control message is an event of its name, and data cannot pass for one, whatever its type", () => {
  const face = new Face();
  const heard = [];
  const names = ["welcome", "subscribed", "unsubscribed", "asset", "health", "gap", "warning", "goodbye", "error", "pong", "switch", "conflated", "lost"];
  for (const name of names) face.on(name, (message) => heard.push([name, message]));
  const told = [
    ...names.slice(0, 10).map((type) => [type, { type }]),
    ["switch", { type: "switch", asset: "best", seq: 1 }],
    ["conflated", { type: "tick", asset: "a", seq: 9, conflated: 7 }],
    ["lost", { notice: "lost", asset: "a", count: 1 }],
  ];
  for (const [, message] of told) face._tell(message);
  for (const type of ["warning", "lost", "goodbye"]) face._tell({ type, asset: "news", seq: 3 });
  assert.deepEqual(heard, told);
});

test("a queue gives what waits in order however long it is, and its error once", async () => {
  const queue = new Queue(10_000, assert.fail, () => {});
  for (let seq = 0; seq < 5000; seq++) queue.push(data(seq));
  for (let seq = 0; seq < 5000; seq++) assert.equal((await queue.next()).value.seq, seq);
  const waiting = queue.next();
  queue.end(new Error("over"));
  await assert.rejects(waiting, /over/);
  assert.equal((await queue.next()).done, true);
});

test("behind is who gets messages later than at best, or lets them wait; calm has to last, longer each time", () => {
  let now = 1_000_000;
  const pace = new Pace({ whenBehind: true, behindMs: 1000, calmMs: 100 }, () => now);
  const tick = (lateMs) => pace.saw({ ts_recv: (now - 500_000 - lateMs) * 1000 }); // another clock
  tick(30);
  tick(5);
  assert.equal(pace.judge(0), undefined);
  tick(1200);
  assert.deepEqual(pace.judge(0), { notice: "behind", behind: true, late_ms: 1195, filled: 0 });
  assert.equal(pace.judge(0), undefined);
  tick(10);
  assert.equal(pace.judge(0), undefined);
  now += 99;
  assert.equal(pace.judge(0), undefined);
  now += 1;
  assert.equal(pace.judge(0).behind, false);
  assert.equal(pace.judge(0.6).behind, true);
  pace.judge(0);
  now += 199;
  assert.equal(pace.judge(0), undefined);
  now += 1;
  assert.equal(pace.judge(0).behind, false);
});

test("symbols come in pages, and are one list", async () => {
  const pages = {
    "/symbols": { symbols: [1, 2], next: "B/C" }, "/symbols?after=B%2FC": { symbols: [3], next: "Ä" }, "/symbols?after=%C3%84": { symbols: [] },
  };
  const fetch = async (url) => new Response(JSON.stringify(pages[url.replace("http://engine", "")]));
  assert.deepEqual(await new Rest("http://engine", { fetch }).symbols(), [1, 2, 3]);
});

test("REST helpers ask for what the documentation names, and problems keep their members", async () => {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answers = {
      "/symbols/ETH-USDT": { symbol: "ETH/USDT", arena: [3] },
      "/v1/assets": { assets: [1] }, "/v1/arena?symbol=BTC%2FUSDT": { arena: [2] }, "/v1/market": { status: "open" },
    };
    const [status, body] = answers[request.url] ? [200, answers[request.url]] : [404, { type: "urn:x", detail: "not here", field: "$.a" }];
    response.writeHead(request.url === "/symbols" ? 502 : status, { "retry-after": "7" });
    response.end(request.url === "/symbols" ? "<html>" : JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const rest = new Rest(url + "/");
  assert.deepEqual(await rest.assets(), [1]);
  assert.deepEqual(await rest.arena("BTC/USDT"), [2]);
  assert.equal((await rest.market()).status, "open");
  await assert.rejects(rest.asset("a/b"), { name: "FinStreamError", message: "not here", status: 404, type: "urn:x", field: "$.a" });
  await assert.rejects(rest.symbol("BTC/USDT"));
  assert.deepEqual(await rest.symbol("ETH/USDT"), [3]);
  await assert.rejects(rest.symbols(), { status: 502, retry_after_s: 7, title: "no JSON came from /symbols" });
  assert.deepEqual(asked.slice(3), [
    "GET /v1/assets/a%2Fb", "GET /symbols/BTC-USDT", "GET /symbols/ETH-USDT", "GET /symbols",
  ]);
  server.closeAllConnections();
  server.close();
  await assert.rejects(rest.assets(), { code: "unreachable" });
});
