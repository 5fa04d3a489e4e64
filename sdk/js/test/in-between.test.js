import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect } from "../src/index.js";
import { until } from "./engine.js";

const UUID = "00000000-0000-4000-8000-000000000000";

/** What looks like an engine until the end of `test`; `answers` are those to GET, one after the other, the last one for ever. */
class Impostor {
  #sockets = [];

  static async start(test, ...answers) {
    const impostor = new Impostor();
    test.after(() => impostor.end());
    impostor.asked = 0;
    impostor.server = createServer((request, response) => {
      if (request.method === "GET") {
        const [status, body = "", headers = {}] = answers[Math.min(impostor.asked++, answers.length - 1)];
        response.writeHead(status, headers).end(body);
      } else if (request.method === "POST") response.writeHead(201).end(JSON.stringify({ uuid: UUID }));
      else response.writeHead(204).end();
    });
    impostor.server.on("upgrade", (request, socket) => impostor.#welcome(request, socket));
    await new Promise((resolve) => impostor.server.listen(0, "127.0.0.1", resolve));
    const { port } = impostor.server.address();
    return Object.assign(impostor, { url: `http://127.0.0.1:${port}`, stream: `ws://127.0.0.1:${port}`, refuses: 0, answers });
  }

  #welcome(request, socket) {
    socket.on("error", () => {}).resume();
    if (this.refuses) {
      this.refuses -= 1;
      return void socket.destroy();
    }
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(`HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    for (const message of [{ type: "welcome", epoch: "e", topics: ["a"] }, { type: "tick", asset: "a", seq: 1, symbol: "S" }]) {
      const text = Buffer.from(JSON.stringify(message));
      socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text])); // none of them is long
    }
    this.#sockets.push(socket);
  }

  cut() {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  end() {
    this.cut();
    this.server.closeAllConnections();
    this.server.close();
  }
}

const WAITING = [200, JSON.stringify({ state: "waiting" })];

test("what answers in the place of an engine that was there ends nothing, and the engine's own word does", async (t) => {
  const html = "<html>";
  for (const answer of [[404, html], [429, html, { "retry-after": "1" }], [403, html], [401, '{"type":"about:blank"}'], [200, html]]) {
    const impostor = await Impostor.start(t, WAITING, answer, WAITING);
    const client = connect(impostor.url, { stream: impostor.stream, backoff: { initialMs: 10 } });
    t.after(() => client.close());
    const told = [];
    client.on("message", ({ notice }) => notice && told.push(notice));
    await client.ready;
    impostor.refuses = 1;
    impostor.cut();
    await until(() => told.filter((notice) => notice === "connected").length === 2);
    assert.ok(!told.includes("ended"), `${answer}`);
  }
  const foreign = [403, JSON.stringify({ type: "urn:finstream:problem:foreign-origin", detail: "not you" })];
  const impostor = await Impostor.start(t, WAITING, foreign);
  const client = connect(impostor.url, { stream: impostor.stream, backoff: { initialMs: 10 } });
  const stream = client.messages();
  await client.ready;
  impostor.refuses = 1;
  impostor.cut();
  await assert.rejects(async () => { for await (const _ of stream); }, { message: "not you", status: 403 });
});

test("no pause is longer than an hour, whoever asks for it", async (t) => {
  const impostor = await Impostor.start(t, [503, "", { "retry-after": "9999999999" }]);
  const client = connect(impostor.url, { stream: "ws://127.0.0.1:1", uuid: UUID });
  t.after(() => client.close());
  const { value } = await client.messages().next();
  assert.deepEqual({ notice: value.notice, in_s: value.in_s }, { notice: "retrying", in_s: 3600 });
});

test("a program that has closed its client ends, though the engine is frozen", async (t) => {
  const impostor = await Impostor.start(t, WAITING);
  const module = JSON.stringify(new URL("../src/index.js", import.meta.url).href);
  const program = `import { connect } from ${module};
    const client = connect(${JSON.stringify(impostor.url)}, { stream: ${JSON.stringify(impostor.stream)} });
    await client.ready;
    await client.close();`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  const code = await new Promise((resolve) => {
    const tooLong = setTimeout(() => child.kill("SIGKILL"), 15_000);
    child.on("exit", (status) => resolve(status, clearTimeout(tooLong)));
  });
  assert.equal(code, 0);
});
