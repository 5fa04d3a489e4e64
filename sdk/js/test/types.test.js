import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const compiler = join(HERE, "../node_modules/.bin/tsc");

test("what callers write in TypeScript is checked as it should be", { skip: !existsSync(compiler) && "needs TypeScript: npm ci" }, () => {
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", HERE], { encoding: "utf8" });
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
