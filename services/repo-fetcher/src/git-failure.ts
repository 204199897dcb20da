// Why something asked of a Git server did not work: thrown inside the Git edge, turned into a union at its border.

import type { Failure, FailureCode } from "@driftless/contracts/failure";

export type Outcome<T> = { kind: "ok"; value: T } | { kind: "failed"; failure: Failure };

/** An error only so that it can travel through isomorphic-git; `outcome` catches it at the border. */
export class GitFailure extends Error {
  override readonly name = "GitFailure";
  readonly code: FailureCode;
  readonly which: string | undefined;
  constructor(code: FailureCode, message: string, options: { which?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.which = options.which;
  }
}

export const ok = <T>(value: T): Outcome<T> => ({ kind: "ok", value });

export const failed = (code: FailureCode, message: string, which?: string): Outcome<never> => ({
  kind: "failed",
  failure: which === undefined ? { code, message } : { code, message, which },
});

/** Runs one piece of Git work. What is not a GitFailure is our own mistake: told as such, and not the process's end. */
export async function outcome<T>(what: string, work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return ok(await work());
  } catch (error) {
    if (error instanceof GitFailure) return failed(error.code, error.message, error.which);
    return failed(
      "INTERNAL",
      `${what}: ${error instanceof Error ? `${error.name}: ${error.message}` : "unknown error"}`,
    );
  }
}
