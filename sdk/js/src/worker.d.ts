import { Exact, Face, Options } from "./index.js";

export interface WorkerOptions<D = Exact> extends Omit<Options<D>, "WebSocket"> {
  /** A worker that calls `serve()` of finstream-client/serve; by default one of ours. A Node worker thread will do. */
  worker?: unknown;
}

/**
 * As `connect` of finstream-client, but the connection lives in a worker. Messages come over in batches, one at a time; while the
 * page is busy they wait in the worker, counted and bounded, and with `whenBehind` the engine is asked for less.
 */
export declare function connect<D = Exact>(url?: string, options?: WorkerOptions<D>): WorkerClient<D>;

export declare class WorkerClient<D = Exact> {
  constructor(url?: string, options?: WorkerOptions<D>);
}
export interface WorkerClient<D = Exact> extends Face<D> {}
