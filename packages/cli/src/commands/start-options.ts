// Options that `start` and `up` share, and the ways in which they can be misunderstood on the way here.
import { usageError } from "../cli-error.ts";
import { DEFAULT_NAMESPACE, ownKubeconfig, type ConnectionOptions } from "../connection.ts";

export interface StartOptions {
  observe?: boolean;
}

/**
 * npm takes `npm start --kubeconfig X` for an option of its own and hands on `X` alone (or nothing, written with `=`):
 * without a word we would start a local cluster instead of using the named one.
 */
export function refuseMisread(extra: string[], options: ConnectionOptions & StartOptions, command: string): void {
  const swallowed = (["kubeconfig", "nats"] as const).find(
    (name) => process.env[`npm_config_${name}`] !== undefined && options[name] === undefined,
  );
  if (swallowed || extra.length > 0) {
    const what =
      extra.length > 0 ? `unexpected ${extra.map((word) => JSON.stringify(word)).join(" ")}` : "a flag was lost";
    const flag = swallowed ?? "kubeconfig";
    throw usageError(
      `${what}. npm keeps flags for itself unless they come after two dashes:\n  ${command} --${flag} X`,
    );
  }
  if (observing(options) && !ownKubeconfig(options)) {
    throw usageError(
      `--observe compares with what Argo CD does in a cluster of your own; name it:\n  ${command} --observe --kubeconfig FILE`,
    );
  }
}

/** By flag or by the variable that the services themselves read. */
export const observing = (options: StartOptions): boolean =>
  options.observe ?? ["true", "1"].includes(process.env["DRIFTLESS_OBSERVE"] ?? "");

export const namespaceToRun = (options: ConnectionOptions): string =>
  options.appNamespace || process.env["DRIFTLESS_NAMESPACE"] || DEFAULT_NAMESPACE;
