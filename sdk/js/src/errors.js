/** A request that was refused, an engine that cannot be reached, or an ending for good. See index.d.ts. */
export class FinStreamError extends Error {
  name = "FinStreamError";

  constructor({ problem, ...said }, cause) {
    super(said.detail ?? said.title ?? said.code, { cause });
    Object.assign(this, said);
    if (problem) this.type = problem;
  }
}
