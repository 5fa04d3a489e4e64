import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const places = [join(HERE, "../node_modules/.bin"), ...process.env.PATH.split(delimiter)];
const compiler = places.map((place) => join(place, "tsc")).find(existsSync);

test("what callers write in TypeScript is checked as it should be", { skip: !compiler && "needs TypeScript: npm install typescript" }, () => {
  const { status, stdout } = spawnSync(compiler, ["-p", HERE], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("every export has its type, and the other way round", async () => {
  const { readFileSync } = await import("node:fs");
  for (const module of ["index", "worker", "serve"]) {
    const text = readFileSync(new URL(`../src/${module}.d.ts`, import.meta.url), "utf8");
    const declared = [...text.matchAll(/^export declare (?:const|class|function) (\w+)/gm)].map(([, name]) => name);
    const there = Object.keys(await import(`../src/${module}.js`));
    assert.deepEqual(declared.sort(), there.sort(), module);
  }
});
