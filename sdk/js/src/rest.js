import { FinStreamError } from "./errors.js";

/** What there is to ask the engine over HTTP. See index.d.ts. */
export class Rest {
  constructor(base, { fetch = globalThis.fetch } = {}) {
    this.base = base.replace(/\/+$/, "");
    this.fetch = fetch;
  }

  assets = async () => (await this.ask("/v1/assets")).assets;
  asset = (name) => this.ask("/v1/assets/" + encodeURIComponent(name));
  arena = async (symbol) => (await this.ask("/v1/arena" + (symbol ? "?symbol=" + encodeURIComponent(symbol) : ""))).arena;
  market = () => this.ask("/v1/market");
  symbols = async () => {
    let { symbols, next } = await this.ask("/symbols");
    while (next) {
      const page = await this.ask("/symbols?after=" + encodeURIComponent(next));
      symbols = symbols.concat(page.symbols);
      next = page.next;
    }
    return symbols;
  };
  symbol = async (name) => (await this.ask("/symbols/" + encodeURIComponent(name.replaceAll("/", "-")))).arena;
  register = async (kind) => (await this.ask("/v1/clients", "POST", kind && { class: kind })).uuid;
  client = (uuid) => this.ask("/v1/clients/" + uuid);
  unregister = (uuid) => this.ask("/v1/clients/" + uuid, "DELETE");

  /** Throws FinStreamError. */
  async ask(path, method = "GET", body) {
    const { fetch } = this; // a browser's fetch refuses to be a method
    let answer, value;
    try {
      answer = await fetch(this.base + path, {
        method,
        signal: AbortSignal.timeout(20_000),
        ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      value = await answer.text();
    } catch (cause) {
      throw new FinStreamError({ code: "unreachable", detail: `no answer from ${this.base}: is the engine running?` }, cause);
    }
    try {
      value &&= JSON.parse(value);
    } catch {
      value = { title: `no JSON came from ${path}` }; // a proxy's page
      if (answer.ok) throw new FinStreamError(value);
    }
    if (answer.ok) return value;
    throw new FinStreamError({ title: path, ...value, status: answer.status, retry_after_s: +answer.headers.get("retry-after") });
  }
}
