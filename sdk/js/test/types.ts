// Compiled, never run: what a caller in TypeScript writes.
import { connect, FinStreamError, isTick, RAW } from "finstream-client";
import { connect as connectInWorker } from "finstream-client/worker";

class Decimal {
  constructor(readonly text: string) {}
}

export async function run(): Promise<void> {
  const client = connect("http://127.0.0.1:8080", { whenBehind: true, backoff: { initialMs: 100 } });
  client.on("lost", ({ asset, count }) => console.log(asset.length, count + 1));
  client.on("disconnected", ({ receipt }) => console.log(receipt?.last_seq));
  // @ts-expect-error there is no such event
  client.on("losst", () => {});
  for await (const message of client.stream("binance:BTC/USDT", { policy: "skip" })) {
    if (message.type === "tick") {
      const price: string | undefined = message.price;
      console.log(price, message[RAW].length);
    }
    if (isTick(message)) {
      const via: string | undefined = message.via;
      console.log(message.exchange.length, via);
    }
  }
  const exact = connectInWorker("http://127.0.0.1:8080", { decimal: (text) => new Decimal(text) });
  for await (const message of exact.stream("binance", { control: true })) {
    if ("notice" in message || !isTick(message)) continue;
    const price: Decimal | undefined = message.price;
    console.log(price);
  }
  exact.on("tick", ({ price }) => {
    const value: Decimal | undefined = price;
    // @ts-expect-error it is no string any more
    const text: string | undefined = price;
    console.log(value, text);
  });
  // @ts-expect-error there is no such policy
  await exact.subscribe("binance", { policy: "wait" });
  for await (const message of client.stream("binance", { control: true })) {
    if (message.notice === "lost") console.log(message.count.toFixed());
    else if (message.notice === undefined && message.type === "gap") console.log(message.type);
  }
  const [first] = await client.rest.arena("BTC/USDT");
  const symbols: string[] = (await client.rest.symbols()).map(({ symbol, assets }) => symbol + assets.join());
  const places: number[] = (await client.rest.symbol("BTC/USDT")).map(({ rank }) => rank);
  // @ts-expect-error the engine keeps no history
  client.rest.history;
  console.log(first?.rank, new FinStreamError("x").status);
  await client.ready.catch((error) => {
    if (error instanceof FinStreamError) console.log(error.receipt?.last_seq, error.retry_after_s?.toFixed());
  });
}
