// Ticks of one symbol from several sources, for a chart. They come as to any subscriber: by the stream, not by the NOC's WebSocket.

import { connect, type Client, type Tick } from "../../../sdk/js/src/index.js";
import { engine } from "./engine.svelte";
import { Track } from "./history";

/** Enough for the eye, however much there is. */
const SHOWN_RATE = 5;
/** The first tick of each symbol, and then no more for a long time: what there is to choose from. */
const GLANCE_RATE = 0.01;
const SHOW_EVERY_MS = 250;
const AGAIN_MS = 2_000;

export interface Source {
  name: string;
  track: Track;
  last: Tick | undefined;
  /** The last one that told a trade: most tell a quote. */
  trade: Tick | undefined;
}

/** What a tick says of the price: the trade's, or the middle of the quote. For drawing only: what is exact is text. */
export function priceOf({ price, bid_price: bid, ask_price: ask }: Tick): number | undefined {
  if (price !== undefined) return Number(price);
  if (bid !== undefined && ask !== undefined) return (Number(bid) + Number(ask)) / 2;
  return undefined;
}

/** What a tab asks for as it is closed is asked all the same. */
const outliving: typeof fetch = (target, options) => fetch(target, { ...options, keepalive: true });

export class Ticks {
  sources = $state.raw<readonly Source[]>([]);
  looks = $state(0);
  failure = $state("");
  state = $state("connecting");
  #client: Client | undefined;
  #byName = new Map<string, Source>();
  #topics: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** `symbol` empty: a glance at what symbols the assets have. */
  constructor(readonly symbol: string) {
    this.#connect();
  }

  /** Their ticks, and no others'. */
  follow(assets: readonly string[]): void {
    const topics = assets.map((name) => (this.symbol ? `${name}:${this.symbol}` : name));
    const more = topics.filter((topic) => !this.#topics.includes(topic));
    const less = this.#topics.filter((topic) => !topics.includes(topic));
    this.#topics = topics;
    if (less.length) this.#client?.unsubscribe(less).catch((error: unknown) => this.#failed(error));
    if (more.length) this.#subscribe(more);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    void this.#client?.close().catch(() => undefined); // the engine may be gone; it forgets the client by itself
  }

  #connect(): void {
    const client = connect(engine.publicUrl, { stream: engine.streamUrl, fetch: outliving });
    this.#client = client;
    client.ready.then(() => (this.failure = ""), (error: unknown) => this.#failed(error));
    client.on("tick", (tick) => this.#take(tick));
    client.on("connected", () => (this.state = "live"));
    client.on("disconnected", () => (this.state = "stale"));
    client.on("ended", ({ detail, code }) => {
      if (this.#closed) return;
      this.state = "stale";
      this.failure = detail ?? code;
      this.#retry = setTimeout(() => this.#connect(), AGAIN_MS);
    });
    this.#subscribe(this.#topics);
  }

  #subscribe(topics: string[]): void {
    if (!topics.length) return;
    const choices = { policy: "conflate", trades: "conflate", max_rate: this.symbol ? SHOWN_RATE : GLANCE_RATE } as const;
    this.#client?.subscribe(topics, choices).catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    if (!this.#closed) this.failure = error instanceof Error ? error.message : String(error);
  }

  #take(tick: Tick): void {
    engine.heardOf(tick.symbol);
    const value = priceOf(tick);
    if (tick.symbol !== this.symbol || value === undefined) return;
    let source = this.#byName.get(tick.asset);
    if (!source) {
      source = { name: tick.asset, track: new Track(), last: undefined, trade: undefined };
      this.#byName.set(tick.asset, source);
      this.sources = [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    }
    source.track.add(Math.floor(tick.ts_recv / 1e6), value);
    source.last = tick;
    if (tick.price !== undefined) source.trade = tick;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.looks++;
    }, SHOW_EVERY_MS);
  }
}
