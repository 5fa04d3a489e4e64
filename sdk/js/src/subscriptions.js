import { FinStreamError } from "./errors.js";

const TOPICS = 300; // in one request: the longest still fit into the 64 KiB that the engine takes
const normal = ({ policy = "kill", trades = "keep", max_rate }) => JSON.stringify([policy, trades, max_rate]);

/** Which topics are wanted and which there are, and the requests in between. Knows no socket: `send` takes texts. */
export class Subscriptions {
  #wanted = new Map(); // topic: the choices of the caller
  #active = new Map(); // topic: the choices that hold
  #pending = new Map(); // id: request
  #open = false;
  #id = 0;
  #override;

  constructor(send) {
    this.send = send;
  }

  /** Whether the numbers of the asset have to follow each other. */
  isExact(asset) {
    const choices = this.#active.get(asset);
    return !!choices && choices.policy !== "conflate" && !choices.max_rate;
  }

  /** Resolves when the engine has done it, over however many connections. */
  request(op, topics, choices = {}) {
    return Promise.all(
      inParts(topics).map((part) => new Promise((resolve, reject) => this.#send({ op, topics: part, choices, resolve, reject }))),
    );
  }

  ping() {
    if (this.#open) this.send('{"op":"ping"}');
  }

  /** Choices that go before those of the callers; undefined ends that. */
  override(choices) {
    this.#override = choices;
    if (this.#open) this.#synchronise();
  }

  /** A connection begins: ask for what the engine does not have any more, then for what was not answered. */
  welcome({ topics, policies = {} }) {
    this.#open = true;
    this.#active = new Map(topics.map((topic) => [topic, policies[topic] ?? {}]));
    this.#wanted = new Map([...this.#active, ...this.#wanted]);
    const unanswered = [...this.#pending.values()];
    this.#pending.clear();
    this.#synchronise();
    for (const request of unanswered) this.#send(request);
  }

  disconnected() {
    this.#open = false;
    for (const [id, { resolve }] of this.#pending) if (!resolve) this.#pending.delete(id);
  }

  answered(message) {
    const request = this.#pending.get(message.id);
    if (!request) return;
    this.#pending.delete(message.id);
    const { op, topics, choices, sent, resolve, reject } = request;
    if (message.type !== "error") {
      for (const topic of topics) {
        this.#wanted.delete(topic);
        this.#active.delete(topic);
        if (op === "unsubscribe") continue;
        this.#wanted.set(topic, choices);
        this.#active.set(topic, sent);
      }
      resolve?.();
    } else if (reject) reject(new FinStreamError(message));
    else {
      // An asset may have left the configuration while we were away: the others are still wanted.
      const culprit = topics[/topics\[(\d+)/.exec(message.field)?.[1]];
      for (const topic of culprit ? [culprit] : topics) this.#wanted.delete(topic);
      this.#synchronise();
    }
  }

  end(error) {
    for (const { reject } of this.#pending.values()) reject?.(error);
  }

  #send(request) {
    this.#pending.set(++this.#id, request);
    if (!this.#open) return;
    const { op, topics, choices } = request;
    request.sent = op === "subscribe" ? { ...choices, ...this.#override } : {};
    this.send(JSON.stringify({ op, topics, ...request.sent, id: this.#id }));
  }

  #synchronise() {
    const groups = {};
    for (const [topic, choices] of this.#wanted) {
      const held = this.#active.get(topic);
      if (held && normal(held) === normal({ ...choices, ...this.#override })) continue;
      (groups[normal(choices)] ??= { choices, topics: [] }).topics.push(topic);
    }
    for (const { choices, topics } of Object.values(groups)) {
      for (const part of inParts(topics)) this.#send({ op: "subscribe", topics: part, choices });
    }
  }
}

const inParts = (topics) =>
  Array.from({ length: Math.ceil(topics.length / TOPICS) }, (_, part) => topics.slice(part * TOPICS, (part + 1) * TOPICS));
