// Plays a scenario of sdk/conformance against a real engine; its README says what each step means.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { connect } from "../src/index.js";
import { Engine, Network, sockets, until } from "./engine.js";
import { matches } from "./patterns.js";

export async function play(folder, scenario) {
  const stage = new Stage(folder);
  try {
    await stage.set(scenario.engine ?? {});
    for (const [number, step] of scenario.steps.entries()) {
      await stage.play(step).catch((error) => {
        throw new Error(`step ${number + 1}, ${JSON.stringify(step)}: ${error.message}\n${stage.told(step.client)}`, { cause: error });
      });
    }
  } finally {
    await stage.strike();
  }
}

class Stage {
  #clients = {}; // name: { client, trace, cursor }
  #saved = {};

  constructor(folder) {
    this.folder = folder;
  }

  async set(particular) {
    const directory = await mkdtemp(join(tmpdir(), "finstream-js-"));
    const ports = await freePorts(3);
    const places = { here: this.folder, directory, "port.public": ports[0], "port.stream": ports[1], "port.admin": ports[2] };
    const base = JSON.parse(readFileSync(join(this.folder, "base.json"), "utf8"));
    this.engine = new Engine(directory);
    await this.engine.configure(filledIn(merged(base, particular), places));
    await this.engine.launch();
    this.network = await Network.to(ports[1]);
  }

  async strike() {
    for (const { client } of Object.values(this.#clients)) await client.close();
    this.network?.close();
    await this.engine.clean();
  }

  told(name) {
    const trace = this.#clients[name]?.trace ?? [];
    return trace.slice(-30).map((item) => JSON.stringify(item).slice(0, 300)).join("\n");
  }

  async play(written) {
    const step = filledIn(written, this.#saved);
    const { do: verb, within_s = 10 } = step;
    await this[`_${verb}`](step, within_s * 1000);
  }

  _open({ client: name, topics, uuid, backoff, ...choices }) {
    const { initial_s, max_s } = backoff ?? {};
    const client = connect(this.engine.public, {
      ...sockets,
      stream: this.network.url, uuid,
      ...(backoff && { backoff: { initialMs: initial_s * 1000, maxMs: max_s * 1000 } }),
    });
    const trace = [];
    this.#clients[name] = { client, trace, cursor: 0 };
    client.on("message", (message) => trace.push(message));
    if (topics) this._subscribe({ client: name, topics, ...choices });
  }

  _subscribe({ client, topics, do: _, within_s: __, ...choices }) {
    this.#clients[client].client.subscribe(topics.flatMap(spelledOut), choices);
  }

  _unsubscribe({ client, topics }) {
    this.#clients[client].client.unsubscribe(topics.flatMap(spelledOut));
  }

  async _close({ client }) {
    await this.#clients[client].client.close();
  }

  async #read(name, within, visit) {
    const reader = this.#clients[name];
    await until(() => {
      while (reader.cursor < reader.trace.length) if (visit(reader.trace[reader.cursor++])) return true;
      return false;
    }, within);
  }

  async _expect({ client, item, save = {}, never = [] }, within) {
    await this.#read(client, within, (each) => {
      if (!matches(each, item)) {
        for (const pattern of never) assert.ok(!matches(each, pattern), `came on the way: ${JSON.stringify(each)}`);
        return false;
      }
      for (const [name, path] of Object.entries(save)) {
        this.#saved[name] = path.split(".").reduce((value, member) => value[member], each);
      }
      return true;
    });
  }

  async _count({ client, item, distinct, at_least }, within) {
    const seen = new Set();
    await this.#read(client, within, (each) => {
      if (matches(each, item)) seen.add(distinct ? each[distinct] : each);
      return seen.size >= at_least;
    });
  }

  async _none({ client, item }) {
    const found = this.#clients[client].trace.find((each) => matches(each, item));
    assert.equal(found, undefined);
  }

  /** Numbers may be missing untold only where not the whole asset was subscribed: then they belong to other symbols. */
  async _accounted({ client, asset }) {
    let last, told = [], whole = false;
    for (const item of this.#clients[client].trace) {
      if (item.notice === "connected" && item.new_epoch) [last, told] = [undefined, []];
      else if (item.type === "welcome") whole = item.topics.includes(asset);
      else if (item.type === "subscribed" && item.topics.includes(asset)) {
        if (!whole) [last, told, whole] = [undefined, [], true];
      } else if (item.type === "unsubscribed" && item.topics.includes(asset)) [last, told, whole] = [undefined, [], false];
      else if (item.asset === asset && (item.notice === "lost" || item.type === "gap")) told.push(item);
      else if (item.asset === asset && item.seq !== undefined) {
        if (last !== undefined) {
          assert.ok(item.seq > last, `${item.seq} came after ${last}`);
          const missing = told.flatMap(numbersOf).sort((a, b) => a - b);
          assert.deepEqual(missing, whole ? numbersOf({ first_seq: last + 1, last_seq: item.seq - 1 }) : []);
        }
        [last, told] = [item.seq, []];
      }
    }
    assert.ok(last !== undefined, "there was something to account for");
  }

  async _network({ action }) {
    this.network[action]();
  }

  async _attempts({ at_least }, within) {
    await until(() => this.network.attempts >= at_least, within);
  }

  async _engine({ action }) {
    if (action === "kill") await this.engine.end("SIGKILL");
    else if (action === "stop") await this.engine.end();
    else if (action === "start") await this.engine.launch();
    else if (action === "reboot") {
      await fetch(this.engine.admin + "/v1/reboot", { method: "POST" });
      await this.engine.nextReady();
    } else throw new Error(`there is no action ${action}`);
  }

  async _rest({ method, path, body, status = 200, json }, within) {
    const ask = async () => {
      const answer = await fetch(this.engine.public + path, {
        method, ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      const text = await answer.text();
      const fits = answer.status === status && (json === undefined || matches(JSON.parse(text), json));
      if (method !== "GET") assert.ok(fits, `${answer.status} ${text}`);
      return fits;
    };
    await until(ask, within);
  }
}

const numbersOf = ({ first_seq, last_seq }) => Array.from({ length: last_seq - first_seq + 1 }, (_, i) => first_seq + i);

/** Of those that the system gives to nobody by itself: while an engine is away its ports stay free. */
async function freePorts(count) {
  const firstGiven = parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"));
  const lowest = Math.max(1024, firstGiven - 20_000);
  const ports = new Set();
  while (ports.size < count) {
    const port = lowest + Math.floor(Math.random() * (firstGiven - lowest));
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(() => true, () => false);
    if (!isFree) continue;
    ports.add(port);
    await once(server.close(), "close");
  }
  return [...ports];
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function merged(base, particular) {
  if (!isObject(base) || !isObject(particular)) return particular;
  const both = { ...base };
  for (const [name, value] of Object.entries(particular)) both[name] = name in base ? merged(base[name], value) : value;
  return both;
}

function filledIn(value, places) {
  if (typeof value === "string") return value.replace(/\{([\w.]+)\}/g, (whole, name) => places[name] ?? whole);
  if (Array.isArray(value)) return value.map((each) => filledIn(each, places));
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, filledIn(each, places)]));
  return value;
}

function spelledOut(topic) {
  if (typeof topic === "string") return [topic];
  const { $topics: pattern, count, pad = 0 } = topic;
  const [asset, symbol] = pattern.split(":");
  return Array.from({ length: count }, (_, n) => `${asset}:${symbol.replace("{n}", n).padEnd(pad, "_")}`);
}
