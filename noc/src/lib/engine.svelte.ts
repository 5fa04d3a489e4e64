// What the page knows of the engine. The link writes here, pages read; nobody else changes anything.

import { History } from "./history";
import { Link, type Phase } from "./link";
import type { Asset, BusEvent, Done, LogFilter, LogLine, Message, Refusal, Telemetry, Welcome } from "./protocol";

const EVENTS_KEPT = 500;
const LINES_KEPT = 1_000;
const REJECTS_KEPT = 5;
/** Events and lines come one by one, and are shown at most so often. */
const SHOW_EVERY_MS = 100;
/** Telemetry comes each second. */
const STALE_MS = 3_500;
const TOKEN_KEY = "finstream.noc.token";

export interface Told {
  id: number;
  at: number;
  event: BusEvent;
}
export interface Line {
  id: number;
  line: LogLine;
}
export interface Reject {
  at: number;
  reason: string;
  sample: string;
}

class Engine {
  phase = $state<Phase>("connecting");
  /** Why it is not live. */
  detail = $state("");
  welcome = $state.raw<Welcome>();
  /** Undefined until the first has come; stays as it was while there is no connection. */
  telemetry = $state.raw<Telemetry>();
  /** Those of the telemetry, with what events have told since. */
  assets = $state.raw<Asset[]>([]);
  /** Newest first, as are lines. */
  events = $state.raw<Told[]>([]);
  lines = $state.raw<Line[]>([]);
  droppedLines = $state(0);
  /** By asset, newest first: what was heard while the page was open. */
  rejects = $state.raw<ReadonlyMap<string, readonly Reject[]>>(new Map());
  symbols = $state.raw<readonly string[]>([]);
  goodbye = $state("");
  /** Milliseconds since the epoch. */
  now = $state(Date.now());
  heardAt = $state(Date.now());
  /** Grows with each look, so that who draws from the history knows. */
  looks = $state(0);
  history = new History();

  /** What is shown may not be true any more. */
  stale = $derived(this.telemetry !== undefined && (this.phase !== "live" || this.now - this.heardAt > STALE_MS));
  live = $derived(this.phase === "live");

  #link: Link | undefined;
  #newEvents: Told[] = [];
  #newLines: Line[] = [];
  #shown = 0;
  #asked = false;
  #lastId = 0;
  #symbols = new Set<string>();

  /** Returns what ends it. */
  open(origin: string): () => void {
    const link = new Link(origin, { phase: (phase, detail) => this.#phase(phase, detail), message: (message) => this.#take(message) });
    this.#link = link;
    link.open(sessionStorage.getItem(TOKEN_KEY) ?? "");
    const beat = setInterval(() => (this.now = Date.now()), 500);
    return () => {
      clearInterval(beat);
      link.close();
    };
  }

  /** Kept until the tab is closed, and only there. */
  unlock(token: string): void {
    sessionStorage.setItem(TOKEN_KEY, token);
    this.#link?.open(token);
  }

  follow(logs: LogFilter | undefined): void {
    this.#link?.watch({ telemetry_s: 1, events: true, ...(logs ? { logs } : {}) });
  }

  clearLines(): void {
    this.#newLines = [];
    this.lines = [];
    this.droppedLines = 0;
  }

  ask(op: string, members: Record<string, unknown> = {}): Promise<Done | Refusal> {
    return this.#link!.ask(op, members);
  }

  heardOf(symbol: string): void {
    if (this.#symbols.has(symbol)) return;
    this.#symbols.add(symbol);
    this.symbols = [...this.#symbols].sort();
  }

  /** Where everybody else asks; the page's origin is allowed there. */
  get publicUrl(): string {
    return this.welcome ? `${this.welcome.secure ? "https" : "http"}://${location.hostname}:${this.welcome.ports.public}` : "";
  }
  get streamUrl(): string {
    return this.welcome ? `${this.welcome.secure ? "wss" : "ws"}://${location.hostname}:${this.welcome.ports.stream}` : "";
  }

  #phase(phase: Phase, detail: string): void {
    this.phase = phase;
    this.detail = detail;
    if (phase === "locked") sessionStorage.removeItem(TOKEN_KEY);
  }

  #take(message: Exclude<Message, Done | Refusal>): void {
    switch (message.type) {
      case "welcome":
        if (this.welcome && this.welcome.epoch !== message.epoch) this.history = new History();
        this.welcome = message;
        this.goodbye = "";
        return;
      case "telemetry":
        this.history.add(message.telemetry);
        this.telemetry = message.telemetry;
        this.assets = message.telemetry.assets;
        this.heardAt = this.now = Date.now();
        this.looks++;
        return;
      case "event":
        this.#newEvents.push({ id: ++this.#lastId, at: message.at, event: message.event });
        return this.#showSoon();
      case "log":
        if (message.dropped) this.droppedLines += message.dropped;
        if (message.line) this.#newLines.push({ id: ++this.#lastId, line: message.line });
        return this.#showSoon();
      case "goodbye":
        this.goodbye = message.code;
    }
  }

  #showSoon(): void {
    if (this.#asked) return;
    this.#asked = true;
    const wait = this.#shown + SHOW_EVERY_MS - performance.now();
    setTimeout(() => {
      this.#asked = false;
      this.#shown = performance.now();
      this.#show();
    }, Math.max(0, wait));
  }

  #show(): void {
    if (this.#newLines.length) this.lines = [...this.#newLines.reverse(), ...this.lines].slice(0, LINES_KEPT);
    this.#newLines = [];
    if (!this.#newEvents.length) return;
    const changed = new Map<string, Partial<Asset>>();
    let rejects: Map<string, readonly Reject[]> | undefined;
    for (const { at, event } of this.#newEvents) {
      if (event.event === "AssetStateChanged" && at >= (this.telemetry?.at ?? 0)) {
        const { state, reason, detail, pid } = event as unknown as Asset;
        changed.set(String(event.asset), { state, reason, detail, pid, since_us: at });
      } else if (event.event === "LinesRejected") {
        rejects ??= new Map(this.rejects);
        const asset = String(event.asset);
        const reject = { at, reason: String(event.sample_reason), sample: String(event.sample) };
        rejects.set(asset, [reject, ...(rejects.get(asset) ?? [])].slice(0, REJECTS_KEPT));
      } else if (event.event === "ArenaRanked") {
        Object.keys((event.symbols ?? {}) as object).forEach((symbol) => this.heardOf(symbol));
      }
    }
    if (changed.size) this.assets = this.assets.map((asset) => (changed.has(asset.name) ? { ...asset, ...changed.get(asset.name) } : asset));
    if (rejects) this.rejects = rejects;
    this.events = [...this.#newEvents.reverse(), ...this.events].slice(0, EVENTS_KEPT);
    this.#newEvents = [];
  }
}

export const engine = new Engine();
