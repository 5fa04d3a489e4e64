// Programs that are run as their readers would.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** An example of ours, until it has said a line like `last`. */
export const run = (addresses, name, topics, last) =>
  execute(addresses, [fileURLToPath(new URL(`../examples/${name}`, import.meta.url)), ...topics], last);

/** Runs Node until it has said a line like `last`, then ends it as Ctrl-C does. */
export async function execute(addresses, words, last) {
  const environment = { ...process.env, FINSTREAM_PUBLIC: addresses.public, FINSTREAM_STREAM: addresses.stream };
  const child = spawn(process.execPath, words, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (data) => (errors += data));
  const closed = once(child, "close");
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (last.test(line)) child.kill("SIGINT");
  }
  const [code] = await closed;
  return { code, lines, errors };
}
