import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const README = readFileSync(join(HERE, "../README.md"), "utf8");
const compiler = join(HERE, "../node_modules/.bin/tsc");

test("what callers write in TypeScript is checked as it should be", { skip: !existsSync(compiler) && "needs TypeScript: npm ci" }, () => {
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", HERE], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("the README's programs are right in TypeScript, too", { skip: !existsSync(compiler) && "needs TypeScript: npm ci" }, async () => {
  const { default: typescript } = await import("typescript");
  const programs = new Map([...README.matchAll(/^```js\n([^]*?)^```/gm)].map(([, text], i) => [join(HERE, `readme-${i}.ts`), text]));
  assert.ok(programs.size >= 3);
  const { options } = typescript.parseJsonConfigFileContent(JSON.parse(readFileSync(join(HERE, "tsconfig.json"))), typescript.sys, HERE);
  const host = typescript.createCompilerHost(options);
  const { fileExists, readFile } = host;
  host.fileExists = (path) => programs.has(path) || fileExists(path);
  host.readFile = (path) => programs.get(path) ?? readFile(path);
  const found = typescript.getPreEmitDiagnostics(typescript.createProgram([...programs.keys()], options, host));
  assert.equal(typescript.formatDiagnostics(found, host), "");
});

test("every export has its type, and the other way round", async () => {
  for (const module of ["index", "worker", "serve"]) {
    const text = readFileSync(new URL(`../src/${module}.d.ts`, import.meta.url), "utf8");
    const declared = [...text.matchAll(/^export declare (?:const|class|function) (\w+)/gm)].map(([, name]) => name);
    const there = Object.keys(await import(`../src/${module}.js`));
    assert.deepEqual(declared.sort(), there.sort(), module);
  }
});
