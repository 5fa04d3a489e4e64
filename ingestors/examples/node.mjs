// A FinStream ingestor in Node: a synthetic price, once a second. Try it: finstream check -- node node.mjs
let cents = 67_000_00;
let trade_id = 0;

setInterval(() => {
  cents += Math.floor(Math.random() * 7) - 3;
  trade_id += 1;
  const price = `${Math.trunc(cents / 100)}.${String(cents % 100).padStart(2, "0")}`; // exact: never a float
  const tick = { symbol: "BTC/USDT", price, volume: "0.01", trade_id, ts: Date.now() };
  process.stdout.write(JSON.stringify(tick) + "\n");
}, 1000);
process.on("SIGTERM", () => process.exit(0));
