// What ends a command early: a sentence for a person, and the exit code for a script.

export const EXIT = {
  ok: 0,
  /** It was understood and did not succeed; of `app diff`: there are differences. */
  failed: 1,
  /** Wrong arguments or configuration; nothing was done. */
  usage: 2,
} as const;

export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;
  constructor(message: string, exitCode: number = EXIT.failed, options?: { cause?: unknown }) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

export const usageError = (message: string): CliError => new CliError(message, EXIT.usage);
