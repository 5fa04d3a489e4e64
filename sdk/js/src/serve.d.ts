import { Options } from "./index.js";

/** In a worker of your own: what cannot be sent to it, as in `serve({ WebSocket })`. */
export declare function serve(options?: Pick<Options, "WebSocket" | "fetch">): Promise<void>;
