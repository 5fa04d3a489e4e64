import { readFileSync } from "node:fs";
import adapter from "@sveltejs/adapter-static";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

/** @type {import("@sveltejs/kit").Config} */
export default {
  compilerOptions: { runes: true },
  kit: {
    // Beside the engine's modules: so it is in the wheel, and found without a path in the configuration.
    adapter: adapter({ pages: process.env.FINSTREAM_PAGE ?? "../finstream/page" }),
    // One file serves all pages, so the admin listener's paths stay those of its API.
    router: { type: "hash" },
    // At once: when the connection is lost, the pages that nobody has been to yet have to be there, too.
    output: { bundleStrategy: "single" },
    // By default the time of the build, which would make each build another one.
    version: { name: version },
  },
};
