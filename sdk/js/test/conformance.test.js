import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { play } from "./scenario.js";

const FOLDER = process.env.FINSTREAM_CONFORMANCE ?? fileURLToPath(new URL("../../conformance", import.meta.url));
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json") && name !== "base.json");

for (const file of files) {
  const scenario = JSON.parse(readFileSync(join(FOLDER, file), "utf8"));
  test(`${file}: ${scenario.title}`, { timeout: 90_000 }, () => play(FOLDER, scenario));
}

test("there are scenarios", () => {
  if (files.length < 5) throw new Error(`${FOLDER} has only ${files}`);
});
