// node lag-alarm.mjs TOPIC LIMIT_MS        says when a source is later than that, and when it is well again
import { connect } from "../src/index.js"; // from elsewhere: "finstream-client"

const [topic, limit = "1000"] = process.argv.slice(2);
const client = connect(process.env.FINSTREAM_PUBLIC, process.env.FINSTREAM_STREAM ? { stream: process.env.FINSTREAM_STREAM } : {});
process.once("SIGINT", () => client.close());

let late = false;
try {
  for await (const message of client.stream(topic, { control: true, policy: "skip" })) {
    if (message.type === "asset" || message.type === "health") console.log(`${message.asset}: ${message.state} ${message.cause ?? message.reason ?? ""}`);
    if (message.type !== "tick") continue;
    const lagMs = (message.ts_recv - message.ts_event) / 1000;
    if (lagMs > limit !== late) {
      late = !late;
      console.log(`${message.asset}: ${late ? "LATE" : "well again"}, ${lagMs.toFixed(1)} ms`);
    }
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await client.close();
}
