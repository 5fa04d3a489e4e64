// The connection to /v1/noc: it comes back by itself, and matches answers to requests. It knows nothing of what is shown.

import { count } from "./format";
import type { Done, LogFilter, Message, Refusal, Welcome } from "./protocol";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
/** Telemetry comes each second, so so much silence means that the other side has gone without a word. */
const SILENCE_MS = 12_000;
const ANSWER_MS = 30_000;
const LOCKED_MS = 3_000;
/** What is longer ends the connection. */
const MOST_SENT_BYTES = 1 << 20;

/** `locked`: the engine wants its admin token. */
export type Phase = "connecting" | "live" | "lost" | "locked";

export interface Watch {
  telemetry_s: number;
  events: boolean;
  logs?: LogFilter;
}

export interface Listener {
  phase(phase: Phase, detail: string): void;
  /** Everything but answers. */
  message(message: Exclude<Message, Done | Refusal>): void;
}

interface Waiting {
  op: string;
  settle(answer: Done | Refusal): void;
  timer: ReturnType<typeof setTimeout>;
}

const refusal = (op: string, problem: string, detail: string, remedy?: string): Refusal => ({
  type: "error", op, problem: `urn:finstream:problem:${problem}`, detail, ...(remedy ? { remedy } : {}),
});

/** Base64url without padding, of the UTF-8 bytes. */
function offered(token: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  return "finstream.token." + btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export class Link {
  #socket: WebSocket | undefined;
  #token = "";
  #watch: Watch = { telemetry_s: 1, events: true };
  #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #welcomed = false;
  #closed = false;

  /** `origin` is the admin listener's, as in `http://127.0.0.1:8090`. */
  constructor(
    readonly origin: string,
    readonly listener: Listener,
  ) {}

  /** With a token, where the engine needs one. May be called again. */
  open(token: string): void {
    this.#token = token;
    this.#attempts = 0;
    this.#dial();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#socket?.close();
  }

  /** What is to be sent from now on; asked for again on each connection. */
  watch(watch: Watch): void {
    this.#watch = watch;
    if (this.#welcomed) void this.ask("watch", { ...watch });
  }

  /** Never rejects: what goes wrong is a refusal with its reason. */
  ask(op: string, members: Record<string, unknown> = {}): Promise<Done | Refusal> {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN || !this.#welcomed) {
      return Promise.resolve(refusal(op, "not-connected", "there is no connection to the engine", "wait until the page is live again"));
    }
    const id = ++this.#lastId;
    const request = JSON.stringify({ op, id, ...members });
    const size = new TextEncoder().encode(request).length;
    if (size > MOST_SENT_BYTES) {
      const detail = `this takes ${count(size)} bytes, and the engine reads at most ${count(MOST_SENT_BYTES)} at once; nothing was sent`;
      return Promise.resolve(refusal(op, "too-large", detail, "put it into the engine's own file, and use that"));
    }
    return new Promise((settle) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        settle(refusal(op, "no-answer", "no answer came; the engine may still be at it", "the events tell what became of it"));
      }, ANSWER_MS);
      this.#waiting.set(id, { op, settle, timer });
      socket.send(request);
    });
  }

  #dial(): void {
    clearTimeout(this.#retry);
    const before = this.#socket;
    if (before) before.onopen = before.onclose = before.onmessage = null;
    before?.close();
    this.#welcomed = false;
    if (this.#attempts === 0) this.listener.phase("connecting", "");
    const protocols = ["finstream.noc", ...(this.#token ? [offered(this.#token)] : [])];
    const socket = new WebSocket(this.origin.replace(/^http/, "ws") + "/v1/noc", protocols);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(String(data));
    socket.onclose = () => void this.#ended();
    this.#hear();
  }

  #receive(text: string): void {
    this.#hear();
    const message = JSON.parse(text) as Message;
    if (message.type === "done" || message.type === "error") this.#answered(message);
    else if (message.type === "welcome") this.#welcome(message);
    else this.listener.message(message);
  }

  #welcome(message: Welcome): void {
    this.#welcomed = true;
    this.#attempts = 0;
    this.listener.message(message);
    this.listener.phase("live", "");
    this.watch(this.#watch);
  }

  #answered(answer: Done | Refusal): void {
    const waiting = this.#waiting.get(answer.id as number);
    if (!waiting) return;
    this.#waiting.delete(answer.id as number);
    clearTimeout(waiting.timer);
    waiting.settle(answer);
  }

  /** Something came. */
  #hear(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      if (socket) socket.onclose = null;
      socket?.close();
      void this.#ended();
    }, SILENCE_MS);
  }

  async #ended(): Promise<void> {
    const refused = !this.#welcomed;
    this.#welcomed = false;
    clearTimeout(this.#silence);
    for (const { op, settle, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      settle(refusal(op, "connection-lost", "the connection broke before the answer came; it may have been carried out", "the events tell"));
    }
    this.#waiting.clear();
    if (this.#closed) return;
    const socket = this.#socket;
    this.listener.phase("lost", "the connection broke");
    const why = refused ? await this.#why() : undefined;
    if (this.#closed || socket !== this.#socket) return; // another attempt was begun meanwhile
    if (why === "locked") {
      this.listener.phase("locked", this.#token ? "the engine does not take this token" : "");
      this.#token = "";
      this.#retry = setTimeout(() => void this.#unlocked(), LOCKED_MS);
      return;
    }
    if (why) this.listener.phase("lost", why);
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempts++);
    this.#retry = setTimeout(() => this.#dial(), pause * (0.75 + Math.random() / 2));
  }

  /** An engine that was started again may not want a token any more. */
  async #unlocked(): Promise<void> {
    const socket = this.#socket;
    const why = await this.#why();
    if (this.#closed || socket !== this.#socket) return; // somebody has unlocked it meanwhile
    if (why === "locked") this.#retry = setTimeout(() => void this.#unlocked(), LOCKED_MS);
    else this.open("");
  }

  /** A browser does not tell why a handshake was refused, but a plain request gets the same answer. */
  async #why(): Promise<string> {
    try {
      // A header cannot hold every token; the handshake has said by then that it is a wrong one.
      const headers: HeadersInit = /^[\x20-\xff]+$/.test(this.#token) ? { Authorization: `Bearer ${this.#token}` } : {};
      const answer = await fetch(`${this.origin}/health/liveness`, { headers, cache: "no-store", signal: AbortSignal.timeout(5_000) });
      if (answer.status === 401) return "locked";
      return answer.ok ? "the engine refuses the connection" : ((await answer.json()) as { detail?: string }).detail ?? "";
    } catch {
      return "the engine does not answer";
    }
  }
}
