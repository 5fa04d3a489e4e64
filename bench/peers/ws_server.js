// A fan-out server with Node and `ws`: lines from standard input to all subscribers.
//   node ws_server.js FOLDER_OF_NODE_MODULES PORT typed|relay
// typed: JSON.parse, a check of each known member, the lag, JSON.stringify. Prices stay strings, for JavaScript has no exact decimals,
// and a stamp beyond 2^53 loses its last digits, as it does for everybody there.
'use strict';
const [modules, port, work] = process.argv.slice(2);
const { WebSocketServer, WebSocket } = require(require('node:path').join(modules, 'ws'));

const DECIMAL = /^-?(0|[1-9]\d*)(\.\d+)?$/;
let greatestLag = 0;

function typed(line) {
  let tick;
  try {
    tick = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof tick.symbol !== 'string' || !tick.symbol || !(tick.ts > 0)) return null;
  for (const member of ['price', 'volume', 'bid', 'ask']) {
    const value = tick[member];
    if (value !== undefined && !(typeof value === 'string' && DECIMAL.test(value) && value[0] !== '-')) return null;
  }
  if (tick.price === undefined && tick.bid === undefined && tick.ask === undefined) return null;
  greatestLag = Math.max(greatestLag, Date.now() - tick.ts / 1e6);
  return Buffer.from(JSON.stringify(tick));
}

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port), perMessageDeflate: false, backlog: 4096 });
let rest = Buffer.alloc(0);
process.stdin.on('data', (chunk) => {
  if (rest.length) chunk = Buffer.concat([rest, chunk]);
  let at = 0;
  for (let feed; (feed = chunk.indexOf(10, at)) >= 0; at = feed + 1) {
    const line = chunk.subarray(at, feed);
    const message = work === 'typed' ? typed(line.toString()) : line;
    if (message === null) continue;
    for (const client of server.clients) if (client.readyState === WebSocket.OPEN) client.send(message, { binary: false });
  }
  rest = chunk.subarray(at);
});
process.stdin.on('end', () => process.exit(0));
