import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.js";

const ENTRY = new URL("../src/index.js", import.meta.url);

test("what a page loads is at most 6 kB, gzipped, though no minifier has seen it", async (t) => {
  const text = bundle(ENTRY);
  const bytes = gzipSync(text, { level: 9 }).length;
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= 6000, `${bytes} bytes`);
  // It is all of it, and it works.
  const { connect, Client, RAW, FinStreamError, Rest } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  assert.equal(typeof RAW, "symbol");
  assert.equal(new Rest("http://127.0.0.1:1/").base, "http://127.0.0.1:1");
  const client = connect("http://127.0.0.1:1");
  assert.ok(client instanceof Client);
  await assert.rejects(client.ready, (error) => error instanceof FinStreamError && error.code === "unreachable");
});

test("what a page loads of the worker's client is less", (t) => {
  const bytes = gzipSync(bundle(new URL("../src/worker.js", import.meta.url)), { level: 9 }).length;
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= 4000, `${bytes} bytes`);
});

test("its README links to nothing that is not in the package", () => {
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const { files } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));
  const targets = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target);
  assert.ok(targets.length > 3);
  for (const target of targets) assert.ok(target.startsWith("https://") || files.includes(target.split("/")[0]), target);
});

test("it depends on nothing", () => {
  const { dependencies, peerDependencies, engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
  assert.equal(engines.node, ">=20");
});
