import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { NodeSocket } from "../src/node-socket.js";

/** A server that upgrades, and hands its end of the connection to the test. */
async function serve(accept = (key) => createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64")) {
  const server = createServer((_, response) => response.writeHead(404).end("not here")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const upgraded = new Promise((resolve) =>
    server.on("upgrade", (request, socket) => {
      const answer = accept(request.headers["sec-websocket-key"]);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${answer}\r\n\r\n`);
      resolve({ socket, request });
    }),
  );
  return { server, upgraded, url: `ws://127.0.0.1:${server.address().port}/v1/stream?client=u` };
}

function frame(first, payload) {
  const body = Buffer.from(payload);
  const head = body.length < 126 ? Buffer.from([first, body.length]) : Buffer.alloc(body.length < 65536 ? 4 : 10);
  if (body.length >= 65536) head.writeBigUInt64BE(BigInt(body.length), 2);
  else if (body.length >= 126) head.writeUInt16BE(body.length, 2);
  if (body.length >= 126) head.writeUInt16BE((first << 8) | (body.length < 65536 ? 126 : 127));
  return Buffer.concat([head, body]);
}

/** The frames that a client wrote: they have to be masked. */
async function readFrames(socket, count) {
  let data = Buffer.alloc(0);
  const frames = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    data = Buffer.concat([data, chunk]);
    for (;;) {
      if (data.length < 2) break;
      let [length, at] = [data[1] & 127, 2];
      if (length === 126) [length, at] = [data.length < 4 ? Infinity : data.readUInt16BE(2), 4];
      else if (length === 127) [length, at] = [data.length < 10 ? Infinity : Number(data.readBigUInt64BE(2)), 10];
      if (data.length < at + 4 + length) break;
      assert.equal(data[1] & 128, 128, "masked");
      const mask = data.subarray(at, at + 4);
      const payload = Buffer.from(data.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i & 3]));
      frames.push([data[0], payload]);
      data = data.subarray(at + 4 + length);
    }
    if (frames.length >= count) break;
  }
  return frames;
}

test("messages of any length, in any pieces, as they were sent", async () => {
  const { server, upgraded, url } = await serve();
  const client = new NodeSocket(url);
  const heard = [];
  const all = new Promise((resolve) => (client.onmessage = ({ data }) => heard.push(data) === 6 && resolve()));
  const { socket, request } = await upgraded;
  assert.equal(request.url, "/v1/stream?client=u");
  const texts = ["", "ü", "x".repeat(125), "y".repeat(126), "z".repeat(70_000)];
  const stream = Buffer.concat([
    ...texts.map((text) => frame(0x81, text)), frame(0x01, "in "), frame(0x89, "are you there"), frame(0x00, "three "), frame(0x80, "parts"),
  ]);
  const pongs = readFrames(socket, 1);
  for (let at = 0; at < stream.length; at += at < 600 ? 1 : 4001) socket.write(stream.subarray(at, at < 600 ? at + 1 : at + 4001));
  await all;
  assert.deepEqual(heard, [...texts, "in three parts"]);
  assert.deepEqual(await pongs, [[0x8a, Buffer.from("are you there")]]);
  client.close();
  server.close();
});

test("what it sends is masked, of any length, and closing says so", async () => {
  const { server, upgraded, url } = await serve();
  const client = new NodeSocket(url);
  const { socket } = await upgraded;
  socket.write(frame(0x81, "welcome")); // only then has it seen the upgrade
  await new Promise((resolve) => (client.onmessage = resolve));
  const texts = ["ü", "y".repeat(126), "z".repeat(70_000)];
  const frames = readFrames(socket, 4);
  for (const text of texts) client.send(text);
  client.close();
  assert.deepEqual((await frames).map(([first, payload]) => [first, payload.toString()]), [
    ...texts.map((text) => [0x81, text]), [0x88, Buffer.from([3, 232]).toString()],
  ]);
  server.close();
});

const closing = (client) => new Promise((resolve) => (client.onclose = resolve));

test("it ends when the other side closes, breaks off, refuses, is no WebSocket, or is not there", async () => {
  for (const act of [(socket) => socket.write(frame(0x88, "\x03\xe8")), (socket) => socket.end(), (socket) => socket.resetAndDestroy()]) {
    const { server, upgraded, url } = await serve();
    const client = new NodeSocket(url);
    const closed = closing(client);
    act((await upgraded).socket);
    await closed;
    server.close();
  }
  const pretender = await serve(() => "something else");
  await closing(new NodeSocket(pretender.url));
  pretender.server.close();
  const refusing = createServer((_, response) => response.writeHead(404).end("not here")).listen(0, "127.0.0.1");
  await once(refusing, "listening");
  await closing(new NodeSocket(`ws://127.0.0.1:${refusing.address().port}/`));
  refusing.close();
  await closing(new NodeSocket("ws://127.0.0.1:1/"));
});

test("a frame that is larger than any message ends it", async () => {
  const { server, upgraded, url } = await serve();
  const client = new NodeSocket(url);
  const closed = closing(client);
  const { socket } = await upgraded;
  socket.on("error", () => {});
  socket.write(Buffer.from([0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]));
  await closed;
  server.close();
});
