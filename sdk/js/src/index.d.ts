/** A decimal, exact, without exponent or trailing zeros, as the wire has it. */
export type Exact = string;

/** The text of a message as it came: `message[RAW]`. Exact also in numbers that JavaScript cannot hold. */
export declare const RAW: unique symbol;

/** What the choices of a subscription mean: docs/stream-protocol.md, "Policies". */
export interface Choices {
  policy?: "kill" | "skip" | "conflate";
  trades?: "keep" | "conflate";
  /** In ticks a second and symbol, 0.01 to 1000. */
  max_rate?: number;
}

interface Received {
  [RAW]: string;
  /** Only in simulation. Never mix such messages with real ones. */
  simulated?: true;
  /** What has none is not the client's own word; were a source to send such a member, it is in {@link RAW}. */
  notice?: undefined;
}

/** Times are integer microseconds since the epoch, UTC. `D` is what `Options.decimal` makes of decimals. */
export interface Tick<D = Exact> extends Received {
  type: "tick";
  asset: string;
  seq: number;
  symbol: string;
  exchange: string;
  price?: D;
  volume?: D;
  side?: "buy" | "sell";
  bid_price?: D;
  bid_volume?: D;
  ask_price?: D;
  ask_volume?: D;
  trade_id?: string | number;
  ts_event: number;
  ts_recv: number;
  /** How many older messages this one took the place of. */
  conflated?: number;
  /** Of a tick of the topic `best`: the source that it comes from. */
  via?: string;
  /** Flagged by a check that its asset asked for. */
  quality?: "suspect";
  /** What the source sent beside that. */
  [member: string]: unknown;
}

/** What of a tick can be asked of any data, without a look at its type first: `tick.price`. */
interface NoTick {
  price?: undefined;
  volume?: undefined;
  side?: undefined;
  bid_price?: undefined;
  bid_volume?: undefined;
  ask_price?: undefined;
  ask_volume?: undefined;
  trade_id?: undefined;
}

/** `best:SYMBOL` follows another source from now on. */
export interface Switch extends Received, NoTick {
  type: "switch";
  asset: string;
  seq: number;
  symbol: string;
  from?: string;
  to: string;
  reason: string;
  ts_recv: number;
}

/** Data of another kind, like news. {@link isTick} tells them apart for TypeScript, too; members named as a tick's are in {@link RAW}. */
export interface OtherData extends Received, NoTick {
  type: string;
  asset: string;
  seq: number;
  symbol?: string;
  ts_event: number;
  ts_recv: number;
  [member: string]: unknown;
}

export type Data<D = Exact> = Tick<D> | Switch | OtherData;

/** `type === "tick"`, for TypeScript: other data have any `type`. */
export declare function isTick<D = Exact>(message: Message<D>): message is Tick<D>;

export interface Welcome extends Received {
  type: "welcome";
  protocol: number;
  /** One life of the engine; `seq` counts within it. */
  epoch: string;
  client: string;
  topics: string[];
  policies?: Record<string, Choices>;
  engine: string;
}
export interface Subscribed extends Received, Choices {
  type: "subscribed";
  topics: string[];
}
export interface Unsubscribed extends Received {
  type: "unsubscribed";
  topics: string[];
}
export interface AssetState extends Received {
  type: "asset";
  asset: string;
  state: "idle" | "starting" | "running" | "stopping" | "backoff" | "paused" | "done" | "misconfigured" | "tripped";
  reason: string;
  detail?: string;
}
export interface Health extends Received {
  type: "health";
  asset: string;
  state: "live" | "degraded" | "stale" | "down";
  cause?: string;
  /** Since its last tick. */
  age_ms?: number;
  [member: string]: unknown;
}
export interface Gap extends Received {
  type: "gap";
  topic: string;
  asset: string;
  symbol?: string;
  first_seq: number;
  last_seq: number;
  count: number;
  reason: string;
}
export interface Warning extends Received {
  type: "warning";
  code: string;
  detail: string;
  [member: string]: unknown;
}
export interface Goodbye extends Received {
  type: "goodbye";
  code: string;
  close_code: number;
  detail: string;
  reconnect: boolean;
  reconnect_in_ms?: number;
}
export interface ProblemMessage extends Received {
  type: "error";
  problem: string;
  detail: string;
  field?: string;
}
export interface Pong extends Received {
  type: "pong";
}

/** How a connection ended: docs/stream-protocol.md, "How a connection ends". */
export interface Receipt {
  reason: string;
  detail: string;
  at: number;
  queued_bytes: number;
  queued_messages: number;
  oldest_ms: number;
  delivered: number;
  skipped: number;
  conflated: number;
  last_asset?: string;
  last_seq?: number;
}

/** A UUID was registered: the first one, or because the engine did not know the one `before` any more. */
export interface Registered {
  notice: "registered";
  uuid: string;
  why: "new" | "unknown_client";
  before?: string;
}
/** Stands right before `welcome`. `new_epoch`: the engine was started again since the last connection; what was missed is unknown. */
export interface Connected {
  notice: "connected";
  uuid: string;
  epoch: string;
  new_epoch: boolean;
}
/** `code`: that of `goodbye`, else the receipt's reason, else `connection_lost`. */
export interface Disconnected {
  notice: "disconnected";
  code: string;
  detail?: string;
  reconnect: boolean;
  receipt: Receipt | null;
}
export interface Retrying {
  notice: "retrying";
  in_s: number;
}
/**
 * Numbers that are missing; stands right before the message that showed it. Known of whole assets of which nothing is merged; what the
 * engine left out itself is told by `gap` and not here. `why: "slow_reader"`: an iterator's buffer was full.
 */
export interface Lost {
  notice: "lost";
  asset: string;
  first_seq: number;
  last_seq: number;
  count: number;
  why?: "slow_reader";
}
/** The program falls behind, or has caught up (`Options.whenBehind`). `filled`: its fullest buffer, 0 to 1. */
export interface Behind {
  notice: "behind";
  behind: boolean;
  late_ms: number;
  filled: number;
}
/** The last of all: it was closed (`code: "closed"`), or gave up. */
export interface Ended {
  notice: "ended";
  code: string;
  detail?: string;
}

export type Control =
  Welcome | Subscribed | Unsubscribed | AssetState | Health | Gap | Warning | Goodbye | ProblemMessage | Pong;
/** What the client itself has to say. */
export type Notice = Registered | Connected | Disconnected | Retrying | Lost | Behind | Ended;
export type Message<D = Exact> = Data<D> | Control | Notice;

/** What {@link Face.on} takes, and what its listener gets. */
export interface Events<D = Exact> {
  /** Everything. */
  message: Message<D>;
  /** Everything that has a `seq`. */
  data: Data<D>;
  tick: Tick<D>;
  switch: Switch;
  /** Data that took the place of older messages, beside its own event. */
  conflated: Data<D>;
  welcome: Welcome;
  subscribed: Subscribed;
  unsubscribed: Unsubscribed;
  asset: AssetState;
  health: Health;
  gap: Gap;
  warning: Warning;
  goodbye: Goodbye;
  error: ProblemMessage;
  pong: Pong;
  registered: Registered;
  connected: Connected;
  disconnected: Disconnected;
  retrying: Retrying;
  lost: Lost;
  behind: Behind;
  ended: Ended;
}

/** What a WebSocket implementation has to be like: the browsers' own, Node's, `ws`. */
export interface WebSocketLike {
  send(text: string): void;
  close(): void;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

export interface Options<D = Exact> {
  /** The stream's address. By default on the port after the public one's; if that names none, at the same host, by its scheme. */
  stream?: string;
  /** Of a client that is registered already. */
  uuid?: string;
  /** The class to register in: `client_classes` of the engine's configuration. */
  class?: string;
  /** Makes a value of each decimal of a tick, as in `(text) => new Decimal(text)`. By default they stay strings. */
  decimal?: (text: Exact) => D;
  /** In place of JavaScript's own, or, in Node, of ours. */
  WebSocket?: new (url: string) => WebSocketLike;
  fetch?: typeof fetch;
  /** The pauses between attempts. By default 500 ms to begin with and 30,000 ms at most. */
  backoff?: { initialMs?: number; maxMs?: number };
  /** How many messages may wait for each iterator (10,000). When there are more, what data waits is dropped and told as `lost`. */
  buffer?: number;
  /**
   * The choices to ask the engine for while the program falls behind, instead of those of the subscriptions; `true` is
   * `{ policy: "conflate", trades: "conflate", max_rate: 4 }`. A browser reads on however busy its page is, so without a `max_rate`
   * the engine does not notice.
   */
  whenBehind?: Choices | true;
  /** How much later than at best messages have to come for that (1,000). */
  behindMs?: number;
  /** How long all has to be well again before everything is asked for again (10,000; twice as long each time). */
  calmMs?: number;
  /** After how much silence the connection is tried by a ping (20,000). It is given up half as much later. */
  silenceMs?: number;
}

export interface StreamOptions extends Choices {
  /** Whether control messages and notices come as well. */
  control?: boolean;
  buffer?: number;
}

/** What there is of a client, wherever it runs. */
export interface Face<D = Exact> {
  readonly rest: Rest;
  readonly uuid: string | undefined;
  readonly epoch: string | undefined;
  readonly state: "connecting" | "open" | "waiting" | "closed";
  /** Resolves at the first welcome; rejects if there is none. */
  readonly ready: Promise<Welcome>;

  /** Returns a function that ends it. */
  on<K extends keyof Events<D>>(type: K, listener: (message: Events<D>[K]) => void): () => void;

  /**
   * Resolves when the engine has answered, over however many connections that takes. Rejects with {@link FinStreamError} if it
   * refuses; whoever does not await it has the `error` message. More than 300 topics go in several requests.
   */
  subscribe(topics: string | string[], choices?: Choices): Promise<void>;
  unsubscribe(topics: string | string[]): Promise<void>;

  /** Subscribes, and gives the data of these topics until the loop is left; topics that nobody else uses are then unsubscribed. */
  stream(topics: string | string[], options: StreamOptions & { control: true }): AsyncIterableIterator<Message<D>>;
  stream(topics: string | string[], options?: StreamOptions): AsyncIterableIterator<Data<D>>;

  /** Everything that comes from now on: data, control messages and notices. */
  messages(options?: { buffer?: number }): AsyncIterableIterator<Message<D>>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<D>>;

  /** Iterators end. A client that was registered here is forgotten by the engine unless `keep` is true. */
  close(options?: { keep?: boolean }): Promise<void>;
}

/** A client of an engine, over all of its connections. */
export declare class Client<D = Exact> {
  constructor(url?: string, options?: Options<D>);
}
export interface Client<D = Exact> extends Face<D> {}

/** `url` is the engine's public address (`http://127.0.0.1:8080`). The first connection that fails ends the client. */
export declare function connect<D = Exact>(url?: string, options?: Options<D>): Client<D>;

/** A request was refused (`type`, `status`, `field`: docs/problems.md), the engine cannot be reached, or sent us away (`code`). */
export declare class FinStreamError extends Error {
  readonly type?: string;
  readonly status?: number;
  readonly title?: string;
  readonly detail?: string;
  readonly field?: string;
  readonly remedy?: string;
  /** `unreachable`, `closed`, `no_websocket`, `worker_failed`, or a closing reason. */
  readonly code?: string;
  /** Of an ending for good, where the engine wrote one. */
  readonly receipt?: Receipt | null;
  /** When to ask again, where the engine says so; else 0 or undefined. */
  readonly retry_after_s?: number;
}

export interface Asset {
  name: string;
  state: AssetState["state"];
  reason: string;
  detail: string;
  kind: string;
  origin: "live" | "replay" | "synthetic";
  [member: string]: unknown;
}
export interface Ranked {
  rank: number;
  asset: string;
  state: AssetState["state"];
  severity?: number;
  degraded: boolean;
  clock_error?: boolean;
  silent_ms?: number;
  lag_us?: number;
  lag_smoothed_us?: number;
  [member: string]: unknown;
}
export interface Market {
  market: string;
  status: "pre-market" | "open" | "after-hours" | "closed";
  simulated: boolean;
  [member: string]: unknown;
}

/** The REST interface (docs/rest-api.md). All of them reject with {@link FinStreamError}. */
export declare class Rest {
  constructor(url: string, options?: { fetch?: typeof fetch });
  assets(): Promise<Asset[]>;
  asset(name: string): Promise<Asset>;
  /** Best first. */
  arena(symbol?: string): Promise<Ranked[]>;
  market(): Promise<Market>;
  /** What was ticked since the engine started, and by which assets; by name. One request for every 10,000. */
  symbols(): Promise<{ symbol: string; assets: string[] }[]>;
  /** The assets that have ticked it, best first. Refused, as `unknown-symbol`: nobody has. */
  symbol(symbol: string): Promise<Ranked[]>;
  /** Returns the UUID. */
  register(kind?: string): Promise<string>;
  client(uuid: string): Promise<Record<string, unknown>>;
  unregister(uuid: string): Promise<void>;
  /** Any other request. */
  ask(path: string, method?: string, body?: unknown): Promise<any>;
}
