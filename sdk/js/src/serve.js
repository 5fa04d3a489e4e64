import { Client } from "./client.js";
import { RAW } from "./messages.js";

const THREADS = "node:worker_threads"; // not a literal in import(), so that bundlers for browsers leave it alone

/** What the page does not take up in time counts as waiting, too. */
class ServedClient extends Client {
  page = () => 0;

  get filled() {
    return Math.max(super.filled, this.page());
  }
}

/**
 * The worker's end of worker.js: runs a client and hands over what it says. One batch is under way at a time, and the page's receipt
 * of it lets the next one go, so messages wait here, counted and bounded, while the page is busy. See serve.d.ts.
 */
export async function serve(own) {
  const port = globalThis.postMessage ? globalThis : (await import(THREADS)).parentPort;
  let client, queue, sent, filled = 0, closing;

  const flush = () => {
    const batch = queue.take();
    if (!batch.length) return;
    sent = performance.now();
    port.postMessage({ batch: batch.map((message) => message[RAW] ?? message) });
  };
  const finish = ({ error }) => {
    flush();
    port.postMessage({ ended: true, error: error && { ...error, detail: error.message } });
  };
  const obey = {
    open([url, options]) {
      client = new ServedClient(url, { ...options, ...own });
      queue = client.messages();
      client.page = () => (performance.now() - sent > (options.behindMs ?? 1000) ? 1 : filled);
      client.on("message", () => sent ?? flush());
      client.on("ended", () => closing || finish(client.ended));
    },
    seen(now) {
      [filled, sent] = [now];
      flush();
    },
    async ask([id, op, ...request]) {
      try {
        await client[op](...request);
        port.postMessage({ id });
      } catch (error) {
        port.postMessage({ id, error: { ...error, detail: error.message } });
      }
    },
    async close(options) {
      closing = true;
      await client.close(options);
      finish(client.ended);
    },
  };
  port.onmessage = ({ data }) => {
    for (const word in data) obey[word](data[word]);
  };
}
