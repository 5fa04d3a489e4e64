// node print-ticks.mjs TOPIC...        prints ticks as they come, and on stderr what is wrong or missing
// The engine's addresses: FINSTREAM_PUBLIC and FINSTREAM_STREAM, by default http://127.0.0.1:8080 and ws://127.0.0.1:8081.
import { connect } from "../src/index.js"; // from elsewhere: "finstream-client"

const client = connect(process.env.FINSTREAM_PUBLIC, process.env.FINSTREAM_STREAM ? { stream: process.env.FINSTREAM_STREAM } : {});
for (const type of ["disconnected", "retrying", "lost", "gap", "warning", "health"]) {
  client.on(type, (message) => console.error(type, JSON.stringify(message)));
}
process.once("SIGINT", () => client.close());
try {
  for await (const { asset, symbol, seq, price, bid_price, ask_price, ts_event, ts_recv } of client.stream(process.argv.slice(2))) {
    console.log(asset, symbol, seq, price ?? `${bid_price} / ${ask_price}`, `${(ts_recv - ts_event) / 1000} ms`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await client.close();
}
