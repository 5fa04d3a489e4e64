// A real engine process, and a network that can be broken between it and a client.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** Options of clients: Node's own WebSocket where the tests are to use that, else ours, as the client chooses. */
export const sockets = process.env.FINSTREAM_NODES_OWN ? { WebSocket: globalThis.WebSocket } : {};

const PYTHON = process.env.FINSTREAM_PYTHON ?? "python3";

export class Engine {
  static async start(config) {
    const engine = new Engine(await mkdtemp(join(tmpdir(), "finstream-js-")));
    await engine.configure(config);
    await engine.launch();
    return engine;
  }

  constructor(directory) {
    this.directory = directory;
    this.path = join(directory, "config.yaml");
  }

  /** `config` may leave out everything but its assets. */
  async configure(config) {
    const here = "127.0.0.1:0";
    const usual = {
      mode: "simulation",
      listen: { public: here, stream: here, admin: here },
      state: { path: join(this.directory, "state.db") },
      dead_letters: { path: join(this.directory, "dead.jsonl") },
    };
    await writeFile(this.path, JSON.stringify({ ...usual, ...config })); // JSON is YAML
  }

  async launch() {
    const environment = { ...process.env, PYTHONPATH: ROOT, PATH: dirname(PYTHON) + delimiter + process.env.PATH };
    this.process = spawn(PYTHON, ["-m", "finstream.cli", "run", "--config", this.path], {
      cwd: this.directory, env: environment, stdio: ["ignore", "pipe", "pipe"],
    });
    this.exited = once(this.process, "exit");
    let log = "";
    this.process.stderr.on("data", (data) => (log = (log + data).slice(-20_000)));
    const lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.nextReady = async () => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`the engine did not start:\n${log}`);
        const line = JSON.parse(value);
        if (line.event === "ready") return Object.assign(this, line);
      }
    };
    await this.nextReady();
  }

  async end(signal = "SIGTERM") {
    this.process.kill(signal);
    await this.exited;
  }

  async clean() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.end();
    await rm(this.directory, { recursive: true });
  }
}

/** A TCP forwarder to `port`. */
export class Network {
  #pairs = new Set();
  #down = false;
  #stalled = false;
  attempts = 0;

  static async to(port) {
    const network = new Network();
    network.server = createServer((near) => network.#forward(near, port)).listen(0, "127.0.0.1");
    await once(network.server, "listening");
    network.url = `ws://127.0.0.1:${network.server.address().port}`;
    return network;
  }

  #forward(near, port) {
    this.attempts += 1;
    near.on("error", () => {});
    if (this.#down) return void reset(near);
    // What the far side sends is held up in the engine, not here: little fits into the buffers.
    const far = connect({ port, host: "127.0.0.1", highWaterMark: 4096 });
    far.on("error", () => reset(near));
    const pair = { near, far };
    this.#pairs.add(pair);
    near.pipe(far);
    if (!this.#stalled) far.pipe(near);
    for (const each of [near, far]) each.on("close", () => this.#forget(pair));
  }

  #forget(pair) {
    if (!this.#pairs.delete(pair)) return;
    pair.near.destroy();
    pair.far.destroy();
  }

  cut() {
    for (const pair of this.#pairs) {
      reset(pair.near);
      reset(pair.far);
    }
  }

  /** The client's end is gone, and the engine is not told. */
  halve() {
    for (const { near, far } of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.removeAllListeners("close");
      reset(near);
      far.resume();
    }
  }

  down() {
    this.#down = true;
    this.attempts = 0;
    this.cut();
  }

  up() {
    this.#down = false;
  }

  stall() {
    this.#stalled = true;
    for (const { near, far } of this.#pairs) {
      far.unpipe(near);
      far.pause();
    }
  }

  flow() {
    this.#stalled = false;
    for (const { near, far } of this.#pairs) far.pipe(near);
  }

  close() {
    this.cut();
    this.server.close();
  }
}

/** Node that is told to reset what is being shut down never gets rid of it, and turns in circles when it is to exit. */
function reset(socket) {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** The first true answer of `ask`. */
export async function until(ask, withinMs = 10_000) {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`it never happened: ${ask}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
