import { Backoff } from "./backoff.js";
import { Continuity } from "./continuity.js";
import { FinStreamError } from "./errors.js";
import { closed, Face } from "./face.js";
import { read } from "./messages.js";
import { Pace } from "./pace.js";
import { Rest } from "./rest.js";
import { Subscriptions } from "./subscriptions.js";

const CHECK_MS = 1000;
const STEADY_MS = 5000; // a connection that lasted so long makes the next pause the first again
const OF_NODE = "./node-socket.js"; // not a literal in import(), so that bundlers for browsers leave it alone
const GOING_AWAY = /^engine_/; // there will be nobody to ask for a receipt
const FOR_GOOD = /^(protocol_error|message_too_big|unregistered|replaced)$/; // docs/problems.md: closing reasons

/** Whoever does not say where the stream is has it beside the public address: on the next port, or behind the same proxy. */
function streamBeside(url) {
  const stream = new URL(url);
  if (stream.port) stream.port = +stream.port + 1;
  return stream.origin.replace("http", "ws");
}

export const connect = (url, options) => new Client(url, options);

/** One client of an engine, over all of its connections. See index.d.ts. */
export class Client extends Face {
  state = "connecting";
  #options;
  #backoff;
  #pace;
  #continuity = new Continuity();
  #subscriptions = new Subscriptions((text) => this.#socket.send(text));
  #socket;
  #own = false;
  #first = true;
  #interrupt;

  constructor(url = "http://127.0.0.1:8080", options = {}) {
    super(options);
    this.#options = { silenceMs: 20_000, stream: streamBeside(url), ...options };
    this.rest = new Rest(url, options);
    this.uuid = options.uuid;
    this.#backoff = new Backoff(options.backoff);
    this.#pace = new Pace(options);
    this.#run();
  }

  async close({ keep = !this.#own } = {}) {
    if (this.ended) return;
    this.#end();
    this.#interrupt?.();
    if (this.uuid && !keep) await this.rest.unregister(this.uuid).catch(() => {}); // it expires by itself
  }

  _request(...request) {
    return this.#subscriptions.request(...request);
  }

  async #run() {
    try {
      while (!this.ended) await this.#live();
    } catch (error) {
      if (!this.ended) this.#end(error);
    }
  }

  /** One attempt, and the pause after it. Throws what cannot pass. */
  async #live() {
    let in_s;
    this.state = "connecting";
    try {
      if (!this.uuid) await this.#register("new");
      if (this.ended) return;
      const { welcomed, goodbye } = await this.#connection(await this.#dialler());
      if (this.ended) return;
      if (welcomed) in_s = await this.#lost(goodbye);
      else if (!(await this.#known())) return await this.#register("unknown_client");
      else if (this.#first) throw new FinStreamError({ code: "unreachable", detail: `no stream answers at ${this.#options.stream}` });
    } catch (error) {
      const { status, code, type, title } = error;
      // What answers in the place of an engine that we know (a proxy, a network's gate) has no last word.
      const passes = status > 499 || status === 429 || (!this.#first && (code === "unreachable" || (title && !/^urn:fin/.test(type))));
      if (!passes) throw error;
      in_s = error.retry_after_s;
    }
    if (this.ended) return;
    this.state = "waiting";
    in_s = Math.min(in_s || this.#backoff.next() / 1000, 3600);
    this._tell({ notice: "retrying", in_s });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, in_s * 1000);
      this.#interrupt = () => resolve(clearTimeout(timer));
    });
  }

  async #register(why) {
    const { uuid: before } = this;
    this.uuid = await this.rest.register(this.#options.class);
    this.#own = true;
    if (this.ended) await this.rest.unregister(this.uuid).catch(() => {}); // closed meanwhile
    else this._tell({ notice: "registered", uuid: this.uuid, why, before });
  }

  /** Whether the engine still knows us: a page is not told why its handshake was refused. */
  async #known() {
    try {
      return await this.rest.client(this.uuid);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }

  /** Find out why a connection ended, and when to come back, in s. */
  async #lost(goodbye) {
    const known = GOING_AWAY.test(goodbye?.code) ? undefined : await this.#known().catch(() => {});
    // That of a client the engine holds for connected is of a connection before this one, and perhaps somebody else's.
    const receipt = (known?.state === "waiting" && known.last_receipt) || null;
    const code = goodbye?.code ?? receipt?.reason ?? "connection_lost";
    const detail = goodbye?.detail ?? receipt?.detail;
    const reconnect = goodbye?.reconnect ?? !FOR_GOOD.test(code);
    this._tell({ notice: "disconnected", code, detail, reconnect, receipt });
    if (!reconnect) throw new FinStreamError({ code, detail, receipt });
    return goodbye?.reconnect_in_ms / 1000;
  }

  /** What connections are made with. Node gets ours: it has none before version 22, and then one that waits for ever to be closed. */
  async #dialler() {
    const { WebSocket: own, process } = globalThis;
    try {
      return (this.#options.WebSocket ??= own && !process?.versions?.node ? own : (await import(OF_NODE)).NodeSocket);
    } catch (cause) {
      if (own) return own;
      const detail = "this JavaScript has no WebSocket: npm install ws, and pass it: connect(url, { WebSocket })";
      throw new FinStreamError({ code: "no_websocket", detail }, cause);
    }
  }

  /** Resolves when the connection has ended, or did not come about. */
  #connection(WebSocket) {
    return new Promise((resolve) => {
      if (this.ended) return resolve({});
      const { stream, silenceMs } = this.#options;
      const socket = (this.#socket = new WebSocket(`${stream.replace(/\/+$/, "")}/v1/stream?client=${this.uuid}`));
      let welcomed, goodbye, pinged;
      let heard = performance.now();
      const finish = () => {
        clearInterval(watch);
        socket.onmessage = socket.onclose = null;
        this.#subscriptions.disconnected();
        if (performance.now() - welcomed > STEADY_MS) this.#backoff.reset();
        resolve({ welcomed, goodbye });
        socket.close();
      };
      // Networks can swallow a connection without a word, and the engine's own pings are not shown to pages.
      const watch = setInterval(() => {
        const now = performance.now();
        if (now - heard < silenceMs) pinged = undefined;
        else if (now - pinged > silenceMs / 2) return finish();
        else if (!pinged) this.#subscriptions.ping((pinged = now));
        this.#adapt();
      }, CHECK_MS);
      this.#interrupt = finish;
      socket.onmessage = ({ data }) => {
        heard = performance.now();
        try {
          const message = this.#receive(data);
          if (message.type === "welcome") welcomed = heard;
          if (message.type === "goodbye") goodbye = message;
        } catch (error) { // no JSON, or the caller's decimals do not take it
          this.#end(error);
          finish();
        }
      };
      socket.onclose = finish;
      // Some implementations tell of no close where there was no connection.
      socket.onerror = () => setTimeout(() => socket.onclose && finish(), 100);
    });
  }

  #receive(text) {
    const message = read(text, this.#options.decimal);
    const { type, seq, asset } = message;
    if (seq !== undefined) {
      this.#notice(this.#continuity.data(message, this.#subscriptions.isExact(asset)));
      this.#pace.saw(message);
      this._tell(message);
      this.#adapt();
      return {};
    }
    if (type === "gap") this.#notice(this.#continuity.gap(message, this.#subscriptions.isExact(asset)));
    if (type === "unsubscribed") this.#continuity.unsubscribed(message);
    if (type === "welcome") {
      this.#first = false;
      this.state = "open";
      this.epoch = message.epoch;
      this._tell({ notice: "connected", uuid: this.uuid, epoch: message.epoch, new_epoch: this.#continuity.welcome(message) });
    }
    this._tell(message);
    if (type === "welcome") {
      this.#subscriptions.welcome(message);
      this._welcomed(message);
    } else this.#subscriptions.answered(message);
    return message;
  }

  /** Ask for less while the program falls behind, and for everything again once it keeps up. */
  #adapt() {
    const { choices } = this.#pace;
    if (choices) this.#notice(this.#pace.judge(this.filled), ({ behind }) => this.#subscriptions.override(behind && choices));
  }

  #notice(notice, then) {
    if (!notice) return;
    this._tell(notice);
    then?.(notice);
  }

  #end(error) {
    this.state = "closed";
    this.#subscriptions.end(error ?? closed());
    this._end(error);
  }
}
