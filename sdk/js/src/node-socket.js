import { createHash, randomBytes } from "node:crypto";
import { request as plain } from "node:http";
import { request as encrypted } from "node:https";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10];
const MAX_BYTES = 16 << 20; // a tick has 64 KiB at most; a welcome names all topics

/**
 * As much of a WebSocket as a client of an engine needs, for Node. Before version 22 Node has none; its own of later waits for the other
 * side to close as well, without end, and keeps the program alive for a peer that is frozen or gone.
 */
export class NodeSocket {
  onmessage = null;
  onclose = null;
  onerror = null;
  #socket;
  #rest = Buffer.alloc(0);
  #parts = [];
  #done = false;

  constructor(address) {
    const url = new URL(address.replace(/^ws/, "http"));
    const key = randomBytes(16).toString("base64");
    const accept = createHash("sha1").update(key + GUID).digest("base64");
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key };
    this.request = (url.protocol === "https:" ? encrypted : plain)(url, { headers, agent: false });
    this.request.on("error", () => this.#end());
    this.request.on("response", (answer) => this.#end(answer.resume()));
    this.request.on("upgrade", (answer, socket, head) => {
      this.#socket = socket;
      socket.on("error", () => {}); // close follows
      socket.on("close", () => this.#end());
      if (answer.headers["sec-websocket-accept"] !== accept || this.#done) return void socket.destroy();
      socket.setNoDelay();
      socket.on("data", (data) => this.#read(data));
      socket.on("end", () => socket.destroy());
      this.#read(head);
    });
    this.request.end();
  }

  send(text) {
    this.#write(TEXT, Buffer.from(text));
  }

  close() {
    this.#write(CLOSE, Buffer.from([1000 >> 8, 1000 & 255]));
    this.#socket?.destroySoon(); // whatever the other side does
    if (!this.#socket) this.request.destroy();
    this.#end();
  }

  #read(data) {
    let buffer = this.#rest.length ? Buffer.concat([this.#rest, data]) : data;
    while (buffer.length >= 2) {
      let [length, at] = [buffer[1], 2];
      if (length === 126) [length, at] = [buffer.length < 4 ? Infinity : buffer.readUInt16BE(2), 4];
      else if (length === 127) [length, at] = [buffer.length < 10 ? Infinity : Number(buffer.readBigUInt64BE(2)), 10];
      if (length !== Infinity && length > MAX_BYTES) return this.#socket.destroy();
      if (buffer.length < at + length) break;
      this.#take(buffer[0], buffer.subarray(at, at + length));
      buffer = buffer.subarray(at + length);
    }
    this.#rest = buffer;
  }

  #take(first, payload) {
    const opcode = first & 15;
    if (opcode === PING) return this.#write(PONG, payload);
    if (opcode === PONG) return undefined;
    if (opcode === CLOSE) {
      this.#write(CLOSE, payload.subarray(0, 2));
      return void this.#socket.destroySoon();
    }
    this.#parts.push(payload);
    if (!(first & 128)) return undefined; // more of it follows
    const text = this.#parts.length === 1 ? payload.toString() : Buffer.concat(this.#parts).toString();
    this.#parts = [];
    this.onmessage?.({ data: text });
  }

  /** A frame, masked as a client's have to be. */
  #write(opcode, payload) {
    if (!this.#socket?.writable) return;
    const { length } = payload;
    const head = length < 126 ? Buffer.from([128 | opcode, 128 | length]) : Buffer.alloc(length < 65536 ? 4 : 10);
    if (length >= 126) {
      head.writeUInt16BE(((128 | opcode) << 8) | 128 | (length < 65536 ? 126 : 127));
      if (length < 65536) head.writeUInt16BE(length, 2);
      else head.writeBigUInt64BE(BigInt(length), 2);
    }
    const mask = randomBytes(4);
    const masked = Buffer.from(payload);
    for (let i = 0; i < length; i++) masked[i] ^= mask[i & 3];
    this.#socket.write(Buffer.concat([head, mask, masked]));
  }

  #end() {
    if (this.#done) return;
    this.#done = true;
    queueMicrotask(() => this.onclose?.({}));
  }
}
