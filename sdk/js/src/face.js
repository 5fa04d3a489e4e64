import { lost } from "./continuity.js";
import { FinStreamError } from "./errors.js";
import { Queue } from "./queue.js";

/** What callers see of a client wherever it runs: listeners and iterators. Whoever extends it tells it messages. */
export class Face {
  #listeners = {};
  #queues = new Set();
  #holders = new Map(); // topic: how many streams read it; Infinity when it was subscribed by hand

  constructor({ buffer = 10_000 } = {}) {
    this.buffer = buffer;
    this.ready = new Promise((...both) => ([this._welcomed, this._failed] = both));
    this.ready.catch(() => {}); // whoever awaits it still hears of it
  }

  on(type, listener) {
    const listeners = (this.#listeners[type] ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  subscribe(topics, choices) {
    return this.#request("subscribe", topics, () => Infinity, choices);
  }

  unsubscribe(topics) {
    return this.#request("unsubscribe", topics, () => 0);
  }

  stream(topics, { control, buffer, ...choices } = {}) {
    const mine = new Set([topics].flat());
    const accepts = ({ seq, asset, symbol }) =>
      seq === undefined ? control : mine.has(asset) || mine.has(asset + ":" + symbol);
    const queue = this.messages({
      accepts,
      buffer,
      left: () => {
        const last = [...mine].filter((topic) => this.#holders.get(topic) === 1);
        this.#hold(mine, (holders) => holders - 1);
        if (last.length) this.unsubscribe(last);
      },
    });
    this.#request("subscribe", [...mine], (holders) => holders + 1, choices).catch((error) => {
      queue.end(error);
      if (this.#queues.delete(queue)) this.#hold(mine, (holders) => holders - 1);
    });
    return queue;
  }

  messages({ buffer = this.buffer, accepts = () => true, left } = {}) {
    const queue = new Queue(
      buffer,
      (messages) => {
        for (const loss of lossesOf(messages)) {
          this.#emit("lost", loss);
          if (accepts(loss)) queue.push(loss);
        }
      },
      () => this.#queues.delete(queue) && left?.(),
    );
    queue.accepts = accepts;
    this.#queues.add(queue);
    if (this.ended) queue.end(this.ended.error ?? (left && closed()));
    return queue;
  }

  [Symbol.asyncIterator]() {
    return this.messages();
  }

  /** How full the fullest reader's queue is, 0 to 1. */
  get filled() {
    return Math.max(0, ...[...this.#queues].map(({ length, limit }) => length / limit));
  }

  _tell(message) {
    for (const queue of this.#queues) if (queue.accepts(message)) queue.push(message);
    const { type, notice, seq, conflated } = message;
    if (seq === undefined) this.#emit(notice ?? type, message);
    else {
      // Any word may be the type of an ingestor's own data: it does not get to look like ours.
      if (type === "tick" || type === "switch") this.#emit(type, message);
      if (conflated) this.#emit("conflated", message);
      this.#emit("data", message);
    }
    this.#emit("message", message);
  }

  _end(error) {
    this.ended = { error };
    this._failed(error ?? closed());
    this._tell({ notice: "ended", code: error ? (error.code ?? error.type ?? error.name) : "closed", detail: error?.message });
    for (const queue of this.#queues) queue.end(error);
  }

  #hold(topics, change) {
    for (const topic of topics) {
      const holders = change(this.#holders.get(topic) ?? 0);
      if (holders > 0) this.#holders.set(topic, holders);
      else this.#holders.delete(topic);
    }
  }

  #request(op, topics, change, choices) {
    topics = [topics].flat();
    this.#hold(topics, change);
    const done = this.ended ? Promise.reject(this.ended.error ?? closed()) : this._request(op, topics, choices);
    done.catch(() => {}); // whoever awaits it still hears of it; everybody else has the error message
    return done;
  }

  #emit(type, message) {
    for (const listener of this.#listeners[type] ?? []) {
      try {
        listener(message);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the others get theirs, and the program hears of it
      }
    }
  }
}

export const closed = () => new FinStreamError({ code: "closed", detail: "this client is closed" });

function lossesOf(messages) {
  const losses = new Map();
  for (const { asset, seq } of messages) {
    const { first_seq = seq, count = 0 } = losses.get(asset) ?? {};
    losses.set(asset, lost(asset, first_seq, seq, count + 1, { why: "slow_reader" }));
  }
  return losses.values();
}
