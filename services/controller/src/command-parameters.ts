// Command parameters (pure): what argocd-cmd-params-cm says, as far as actors ask. A value that cannot be read is told and
// the default is taken; a key of the reconciling parts that means nothing here is told too.
import type { KubeObject } from "@driftless/kube/resource";
import { POLICY_USUAL, type Policy } from "./application/policy.ts";

export const PARAMETERS_CONFIG_MAP = "argocd-cmd-params-cm";

/** Parts of Argo CD that Driftless does not replace read these. */
const OF_OTHERS = /^(server|dexserver|applicationsetcontroller|notificationscontroller|commitserver|redis|otlp|log)\./;
/** What applying would change is always asked of the API server, whichever is said; the other is without effect in Argo CD too. */
const GIVEN = new Set(["controller.diff.server.side", "controller.self.heal.backoff.cooldown.seconds"]);

export interface Parameters {
  policy: Policy;
  /** Beside the control plane's own, where Applications may be: names, globs, `/regular expressions/`. */
  applicationNamespaces: string[];
}

export function parametersOf(configMap: KubeObject | undefined): Parameters & { problems: string[] } {
  const data = (configMap?.["data"] ?? {}) as Record<string, unknown>;
  const problems: string[] = [];
  const known = new Set<string>(GIVEN);
  const read = <T>(name: string, usual: T, what: string, parse: (text: string) => T | undefined): T => {
    known.add(name);
    const text = typeof data[name] === "string" ? data[name].trim() : "";
    if (text === "") return usual;
    const value = parse(text);
    if (value === undefined) problems.push(`${name}: "${text}" is no ${what}`);
    return value ?? usual;
  };
  const seconds = (name: string, usualMs: number) =>
    read(name, usualMs, "number of seconds", (text) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : undefined));
  const usual = POLICY_USUAL;
  const policy: Policy = {
    heal: {
      timeoutMs: seconds("controller.self.heal.timeout.seconds", usual.heal.timeoutMs),
      backoffMs: seconds("controller.self.heal.backoff.timeout.seconds", usual.heal.backoffMs),
      factor: read("controller.self.heal.backoff.factor", usual.heal.factor, "whole number from 1", (text) =>
        /^[1-9]\d{0,3}$/.test(text) ? Number(text) : undefined,
      ),
      capMs: seconds("controller.self.heal.backoff.cap.seconds", usual.heal.capMs),
    },
    syncTimeoutMs: seconds("controller.sync.timeout.seconds", usual.syncTimeoutMs),
    waveDelayMs: seconds("controller.sync.wave.delay.seconds", usual.waveDelayMs),
    graceMs: seconds("controller.repo.error.grace.period.seconds", usual.graceMs),
    persistHealth: read("controller.resource.health.persist", usual.persistHealth, "true or false", (text) =>
      text === "true" ? true : text === "false" ? false : undefined,
    ),
  };
  const applicationNamespaces = read("application.namespaces", [], "list", (text) =>
    text.split(",").flatMap((part) => part.trim() || []),
  );
  for (const key of Object.keys(data)) {
    if (!known.has(key) && !OF_OTHERS.test(key)) problems.push(`${key}: not honoured`);
  }
  return { policy, applicationNamespaces, problems };
}
