// A local part (build, etcd, nats-server, …) that did not do what it was started for.

export class PartFailed extends Error {
  override readonly name = "PartFailed";
  readonly part: string;
  /** The message without the name of the part. */
  readonly reason: string;
  /** Another process took the port between our look and the part's start: worth another try on another port. */
  readonly portTaken: boolean;

  constructor(part: string, reason: string, options: { cause?: unknown; portTaken?: boolean } = {}) {
    super(`${part}: ${reason}`, { cause: options.cause });
    this.part = part;
    this.reason = reason;
    this.portTaken = options.portTaken ?? false;
  }
}
