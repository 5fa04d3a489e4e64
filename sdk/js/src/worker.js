import { FinStreamError } from "./errors.js";
import { Face } from "./face.js";
import { read } from "./messages.js";
import { Rest } from "./rest.js";

const THREADS = "node:worker_threads"; // not a literal in import(), so that bundlers for browsers leave it alone
const Worker = globalThis.Worker ?? (await import(THREADS)).Worker;

export const connect = (url, options) => new WorkerClient(url, options);

/** A client whose connection lives in a worker. See worker.d.ts. */
export class WorkerClient extends Face {
  state = "connecting";
  #worker;
  #decimal;
  #asked = new Map();
  #id = 0;

  constructor(url, { worker, decimal, fetch, ...options } = {}) {
    super(options);
    this.rest = new Rest(url ?? "http://127.0.0.1:8080", { fetch });
    this.uuid = options.uuid;
    this.#decimal = decimal;
    this.#worker = worker ??= new Worker(new URL("./worker-thread.js", import.meta.url), { type: "module" });
    const failed = ({ message }) => this.#end(new FinStreamError({ code: "worker_failed", detail: message ?? "the worker cannot be loaded" }));
    if (worker.on) worker.on("message", (said) => this.#hear(said)).on("error", failed);
    else Object.assign(worker, { onmessage: ({ data }) => this.#hear(data), onerror: failed });
    worker.postMessage({ open: [url, options] });
  }

  async close(options) {
    if (this.ended) return;
    const ended = new Promise((resolve) => this.on("ended", resolve));
    this.#worker.postMessage({ close: options });
    await ended;
  }

  _request(...request) {
    return new Promise((resolve, reject) => {
      this.#asked.set(++this.#id, { resolve, reject });
      this.#worker.postMessage({ ask: [this.#id, ...request] });
    });
  }

  #hear({ batch, id, ended, error }) {
    if (this.ended) return;
    error &&= new FinStreamError(error);
    if (batch) {
      try {
        for (const item of batch) this.#take(typeof item === "string" ? read(item, this.#decimal) : item);
      } catch (error) { // the caller's decimals do not take it
        return this.#end(error);
      }
      this.#worker.postMessage({ seen: this.filled });
    }
    if (id) {
      const { resolve, reject } = this.#asked.get(id);
      this.#asked.delete(id);
      if (error) reject(error);
      else resolve();
    }
    if (ended) this.#end(error);
  }

  #take(message) {
    const { type, seq, uuid, epoch } = message;
    const notice = seq === undefined && message.notice; // a source's own data may have such a member, too
    if (notice === "ended") return; // told once all is over
    if (notice === "registered") this.uuid = uuid;
    if (notice === "connected") Object.assign(this, { uuid, epoch, state: "open" });
    if (notice === "retrying") this.state = "waiting";
    this._tell(message);
    if (type === "welcome" && seq === undefined) this._welcomed(message);
  }

  #end(error) {
    if (this.ended) return;
    this.state = "closed";
    this.#worker.terminate();
    for (const { reject } of this.#asked.values()) reject(error ?? new FinStreamError({ code: "closed", detail: "this client is closed" }));
    this._end(error);
  }
}
