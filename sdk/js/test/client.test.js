import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { connect, FinStreamError, RAW, Rest } from "../src/index.js";
import { NodeSocket } from "../src/node-socket.js";
import { bundle } from "./bundle.js";
import { Engine, Network, sockets, until } from "./engine.js";

const simulator = (...more) => ({
  command: ["python", "-m", "finstream_ingestors.sim", "--symbols", "BTC/USDT,ETH/USDT", ...more], origin: "synthetic", linger_s: 0,
});
let engine;

before(async () => {
  const assets = { sim: simulator("--rate", "200"), other: simulator("--rate", "50") };
  engine = await Engine.start({ assets, limits: { topics_per_client: 10 } });
});
after(() => engine.clean());

const options = (more) => ({ stream: engine.stream, ...sockets, ...more });
const subscriptions = (uuid) => fetch(`${engine.public}/v1/clients/${uuid}/subscriptions`).then((answer) => answer.json());

test("a loop gets exact ticks of its topic, and leaving it ends the subscription and nobody else's", async () => {
  const client = connect(engine.public, options());
  await client.subscribe("other");
  let count = 0;
  for await (const tick of client.stream(["sim:BTC/USDT", "other:ETH/USDT"])) {
    if (tick.asset === "other") assert.equal(tick.symbol, "ETH/USDT");
    else assert.equal(tick.symbol, "BTC/USDT");
    const { [RAW]: text, ...members } = tick;
    assert.deepEqual(JSON.parse(text), members);
    for (const price of [tick.price, tick.bid_price]) assert.match(price ?? "1", /^\d+(\.\d+)?$/);
    assert.equal(tick.simulated, true);
    if (++count === 20) break;
  }
  await until(async () => (await subscriptions(client.uuid)).topics.join() === "other");
  await client.close();
  await assert.rejects(new Rest(engine.public).client(client.uuid), { status: 404 });
});

test("two loops over one topic both get it, and the first that leaves does not end the other", async () => {
  const client = connect(engine.public, options());
  const [first, second] = [client.stream("sim"), client.stream("sim")];
  await first.next();
  await first.return();
  for (let count = 0; count < 10; count++) assert.equal((await second.next()).value.asset, "sim");
  await second.return();
  await until(async () => (await subscriptions(client.uuid)).topics.length === 0);
  await client.close();
});

test("events: ticks with decimals of the caller's own, and every control message", async () => {
  const client = connect(engine.public, options({ decimal: (text) => ({ text }) }));
  const heard = {};
  for (const type of ["registered", "connected", "welcome", "subscribed", "asset", "tick", "data", "unsubscribed", "ended"]) {
    client.on(type, (message) => (heard[type] = message));
  }
  const stop = client.on("tick", () => (heard.count = (heard.count ?? 0) + 1));
  await client.subscribe(["sim"], { policy: "skip" });
  await until(() => heard.count > 5);
  stop();
  const { count } = heard;
  assert.equal(heard.subscribed.policy, "skip");
  assert.match((heard.tick.price ?? heard.tick.bid_price).text, /^[\d.]+$/);
  assert.equal(heard.connected.uuid, client.uuid);
  assert.equal(heard.welcome.epoch, client.epoch);
  assert.equal(client.state, "open");
  await client.unsubscribe("sim");
  assert.deepEqual(heard.unsubscribed.topics, ["sim"]);
  await client.close();
  assert.equal(heard.ended.code, "closed");
  assert.equal(heard.count, count);
});

test("the README's first program ends once its loop is left", () => {
  const [, text] = /^```js\n([^]*?)^```/m.exec(readFileSync(new URL("../README.md", import.meta.url), "utf8"));
  const places = {
    '"finstream-client"': JSON.stringify(new URL("../src/index.js", import.meta.url).href),
    '"http://127.0.0.1:8080"': `${JSON.stringify(engine.public)}, ${JSON.stringify(options())}`,
    '"binance:BTC/USDT"': '"sim:BTC/USDT"',
    "tick.seq);": "tick.seq); break;",
  };
  const program = Object.entries(places).reduce((all, [written, here]) => {
    assert.equal(all.split(written).length, 2, written);
    return all.replace(written, here);
  }, text);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8", timeout: 20_000 });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^BTC\/USDT (\d[\d.]*|undefined) \d+\n$/);
});

test("a listener that throws takes nothing from the others, and the program hears of it", () => {
  const module = JSON.stringify(new URL("../src/index.js", import.meta.url).href);
  const program = `import { connect } from ${module};
    process.on("uncaughtException", ({ message }) => console.log("heard", message));
    const client = connect(${JSON.stringify(engine.public)}, ${JSON.stringify(options())});
    let once = false;
    client.on("tick", () => { if (!once) throw ((once = true), new Error("of a listener")); });
    const { value } = await client.stream("sim").next();
    console.log(value.type);
    await client.close();`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8", timeout: 20_000 });
  assert.deepEqual([status, stdout.split("\n").sort()], [0, ["", "heard of a listener", "tick"]], stderr);
});

test("what is refused rejects, says why, and harms nothing", async () => {
  const client = connect(engine.public, options());
  const refusal = { name: "FinStreamError", type: "urn:finstream:problem:unknown-asset", field: "$.topics[1]" };
  await client.subscribe("sim");
  await assert.rejects(client.subscribe(["sim", "nothing"]), refusal);
  await assert.rejects(client.stream("nothing").next(), { ...refusal, field: "$.topics[0]" });
  client.subscribe("nothing"); // nobody awaits it: that does not end the program
  assert.equal((await client.stream("sim").next()).value.type, "tick");
  await client.close();
  await assert.rejects(client.subscribe("sim"), { code: "closed" });
  assert.equal((await client.messages().next()).done, true);
});

test("an iterator that is not read from loses, counted, and goes on with now", async () => {
  const client = connect(engine.public, options());
  const stream = client.stream("sim", { buffer: 20, control: true });
  const lost = [];
  client.on("lost", (notice) => lost.push(notice));
  await until(() => lost.length >= 2);
  let first, last, missing = 0;
  while (first === undefined || last < lost[1].last_seq + 10) {
    const { value } = await stream.next();
    if (value.notice === "lost") missing += value.count;
    if (value.seq === undefined) continue;
    assert.ok(last === undefined || value.seq > last);
    first ??= value.seq;
    last = value.seq;
  }
  const told = lost.filter(({ last_seq }) => last_seq < last);
  assert.equal(missing, told.reduce((sum, { count }) => sum + count, 0));
  assert.equal(lost[0].why, "slow_reader");
  assert.equal(lost[1].first_seq, lost[0].last_seq + 1, "the buffer, whole, each time");
  await client.close();
});

test("when the program falls behind, the engine is asked for less, and for everything once it keeps up", async () => {
  const client = connect(engine.public, options({ whenBehind: true, calmMs: 200, behindMs: 60_000, buffer: 50 }));
  const judged = [];
  client.on("behind", ({ behind }) => judged.push(behind));
  await client.subscribe("other", { policy: "skip" });
  const stream = client.stream("sim", { max_rate: 500 });
  const polite = { policy: "conflate", trades: "conflate", max_rate: 4 };
  await until(async () => JSON.stringify((await subscriptions(client.uuid)).policies?.sim) === JSON.stringify(polite));
  assert.deepEqual((await subscriptions(client.uuid)).policies.other, polite);
  let conflated = 0;
  client.on("conflated", () => (conflated += 1));
  while (!conflated) await stream.next();
  const reading = (async () => { for await (const _ of stream); })();
  await until(() => judged.join() === "true,false");
  await until(async () => JSON.stringify((await subscriptions(client.uuid)).policies) ===
    JSON.stringify({ other: { policy: "skip" }, sim: { max_rate: 500 } }));
  await client.close();
  await reading;
});

test("a silent network is found out by a ping, and left", async () => {
  const network = await Network.to(new URL(engine.stream).port);
  const client = connect(engine.public, options({ stream: network.url, silenceMs: 1000 }));
  await client.ready;
  const told = [];
  client.on("message", (message) => told.push(message.type ?? message.notice));
  await until(() => told.includes("pong"));
  network.stall();
  await until(() => told.includes("disconnected"));
  network.flow();
  await until(() => told.includes("connected"));
  await client.close();
  network.close();
});

test("a connection that only the client knows to be lost is no ending, whatever the receipt of the one before it says", async () => {
  const uuid = await new Rest(engine.public).register();
  const before = connect(engine.public, options({ uuid }));
  await before.ready;
  const network = await Network.to(new URL(engine.stream).port);
  const client = connect(engine.public, options({ uuid, stream: network.url, backoff: { initialMs: 10 } }));
  const told = [];
  client.on("disconnected", (notice) => told.push(notice));
  await client.ready;
  await until(() => before.state === "closed"); // and the engine's receipt says "replaced"
  network.halve();
  await until(() => told.length > 0);
  await until(() => client.state === "open");
  const [{ code, reconnect, receipt }] = told;
  assert.deepEqual({ code, reconnect, receipt }, { code: "connection_lost", reconnect: true, receipt: null });
  await client.close({ keep: false });
  network.close();
});

test("REST: the engine's own answers", async () => {
  const rest = new Rest(engine.public);
  assert.deepEqual((await rest.assets()).map(({ name }) => name).sort(), ["other", "sim"]);
  assert.equal((await rest.asset("sim")).origin, "synthetic");
  assert.equal((await rest.arena("BTC/USDT")).length, 2);
  await assert.rejects(rest.asset("nothing"), { type: "urn:finstream:problem:unknown-asset", status: 404 });
  assert.ok((await rest.market()).status);
  const assets = ["other", "sim"];
  const both = JSON.stringify([{ symbol: "BTC/USDT", assets }, { symbol: "ETH/USDT", assets }]);
  await until(async () => JSON.stringify(await rest.symbols()) === both);
  assert.deepEqual((await rest.symbol("BTC/USDT")).map(({ asset }) => asset).sort(), assets);
  await assert.rejects(rest.symbol("DOGE/USDT"), { type: "urn:finstream:problem:unknown-symbol", status: 404 });
});

test("decimals that the caller's function refuses end the client with its error, not the program", async () => {
  const client = connect(engine.public, options({ decimal: () => { throw new RangeError("no decimal"); } }));
  await assert.rejects(client.stream("sim").next(), { name: "RangeError", message: "no decimal" });
  assert.equal(client.state, "closed");
});

test("where nothing answers, the first attempt says so, everywhere", async () => {
  const client = connect("http://127.0.0.1:1");
  const said = { name: "FinStreamError", code: "unreachable", message: /is the engine running/ };
  await assert.rejects(client.ready, said);
  const wrong = connect(engine.public, { stream: "ws://127.0.0.1:1" });
  await assert.rejects(wrong.stream("sim").next(), { code: "unreachable", message: "no stream answers at ws://127.0.0.1:1" });
  assert.equal(wrong.state, "closed");
});

test("the stream's address follows from the public one", async () => {
  const tried = [];
  class Never {
    constructor(url) {
      tried.push(url.split("?")[0]);
      setTimeout(() => this.onerror({}));
    }
    close() {}
  }
  const answer = async () => new Response('{"uuid":"u"}');
  for (const url of ["http://127.0.0.1:8080", "https://example.test", undefined]) {
    await assert.rejects(connect(url, { WebSocket: Never, fetch: answer }).ready);
  }
  assert.deepEqual(tried, ["ws://127.0.0.1:8081/v1/stream", "wss://example.test/v1/stream", "ws://127.0.0.1:8081/v1/stream"]);
});

test("a WebSocket that is passed is used, and where there can be none the error names the remedy", async () => {
  const made = [];
  class Noted extends NodeSocket {
    constructor(url) {
      super(url);
      made.push(url);
    }
  }
  const client = connect(engine.public, options({ WebSocket: Noted }));
  await client.ready;
  assert.deepEqual(made, [`${engine.stream}/v1/stream?client=${client.uuid}`]);
  await client.close();

  // In one file, as a bundler makes it, ours is not there to be loaded.
  const module = JSON.stringify(`data:text/javascript,${encodeURIComponent(bundle(new URL("../src/index.js", import.meta.url)))}`);
  const program = `delete globalThis.WebSocket; const { connect } = await import(${module});
    await connect(${JSON.stringify(engine.public)}).ready.catch(({ code, message }) => console.log(code, message))`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.match(stdout, /^no_websocket .*npm install ws.*connect\(url, { WebSocket }\)/);
});

test("closing ends the loops there are, and a stream of later says that it is closed", async () => {
  const client = connect(engine.public, options());
  const before = client.messages();
  await client.close();
  for await (const message of before) assert.ok(message);
  const late = client.stream("sim");
  await assert.rejects(late.next(), { name: "FinStreamError", code: "closed" });
  assert.equal((await late.next()).done, true);
});

test("closing at any moment is the end of it, and leaves no client behind", async () => {
  const registered = [];
  for (const pause of [0, 1, 5, 20, 60]) {
    const client = connect(engine.public, options());
    client.on("registered", ({ uuid }) => registered.push(uuid));
    await new Promise((resolve) => setTimeout(resolve, pause));
    await client.close();
    assert.equal(client.state, "closed");
  }
  for (const uuid of registered) await until(() => new Rest(engine.public).client(uuid).then(() => false, (error) => error.status === 404));
  assert.ok(new FinStreamError({ code: "x" }) instanceof Error);
});
