import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

const engine = process.env.FINSTREAM_ADMIN ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [sveltekit()],
  build: { target: "es2022" },
  // `npm run dev`: the page from here, everything else from an engine that has http://localhost:5173 in listen.origins.
  server: { fs: { allow: [".."] }, proxy: { "/v1": { target: engine, ws: true }, "/health": engine } },
});
