// node best-source.mjs SYMBOL        one stream for a symbol, always from the source that is best just now; every switch is told
import { connect } from "../src/index.js"; // from elsewhere: "finstream-client"

const [symbol = "BTC/USDT"] = process.argv.slice(2);
const client = connect(process.env.FINSTREAM_PUBLIC, process.env.FINSTREAM_STREAM ? { stream: process.env.FINSTREAM_STREAM } : {});
process.once("SIGINT", () => client.close());
try {
  for await (const message of client.stream(`best:${symbol}`)) {
    if (message.type === "switch") console.log(`--- from ${message.from ?? "nobody"} to ${message.to}: ${message.reason}`);
    else console.log(message.via, message.symbol, message.price ?? "quote", message.bid_price, message.ask_price);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await client.close();
}
