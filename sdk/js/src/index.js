export { connect, Client } from "./client.js";
export { FinStreamError } from "./errors.js";
export { isTick, RAW } from "./messages.js";
export { Rest } from "./rest.js";
