// Edge: what Argo CD's Secret and ConfigMap of the control plane's namespace say about webhooks: their secrets
// (`argocd-secret`), and how large a body may be (`argocd-cm`).
//
// W1  Not known is not "none": while the Secret cannot be read and never was, a webhook is answered 503, since
//     accepting it would switch the signatures off. Once read, the last known secrets hold while the API server is away.
import type { KubeClient } from "@driftless/kube/client";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import { PROVIDERS, SECRET_KEYS, type Provider, type WebhookSecrets } from "./providers.ts";

/** A changed secret holds after so long at the latest. */
const FRESH_MS = 5_000;
const READ_DEADLINE_MS = 2_000;
const MIB = 1024 * 1024;
/** Whatever `webhook.maxPayloadSizeMB` says: GitHub itself sends no more than 25 MB. */
const BYTES_CAP = 32 * MIB;

export interface WebhookSettings {
  secrets: WebhookSecrets;
  /** Of one body; absent where the installation says nothing. */
  bytesMax?: number;
}
export type SettingsOutcome = { kind: "known"; settings: WebhookSettings } | { kind: "unknown" };

export function webhookSettings(options: {
  kube: Pick<KubeClient, "request">;
  namespace: string;
  clock: Clock;
  logger: Logger;
}): { read(): Promise<SettingsOutcome> } {
  const { kube, namespace, clock, logger } = options;
  let secrets: WebhookSecrets | undefined;
  let bytesMax: number | undefined;
  let readAt = -Infinity;
  let reading: Promise<void> | undefined;

  const get = (resource: string, name: string, kind: string) =>
    kube.request<{ data?: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/${resource}/${name}`,
      kind,
      deadlineMs: READ_DEADLINE_MS,
    });

  async function readNow(): Promise<void> {
    const [secret, configMap] = await Promise.all([
      get("secrets", "argocd-secret", "Secret"),
      get("configmaps", "argocd-cm", "ConfigMap"),
    ]);
    if (secret.kind === "ok") secrets = secretsOf(secret.object.data ?? {});
    else if (secret.error.code === "NOT_FOUND") secrets = {};
    else logger.warn({ code: secret.error.code, known: secrets !== undefined }, "webhook secrets cannot be read now");
    if (configMap.kind === "ok") bytesMax = bytesMaxOf(configMap.object.data ?? {});
    readAt = clock.monotonic();
  }

  return {
    async read() {
      if (clock.monotonic() - readAt > FRESH_MS || secrets === undefined) {
        reading ??= readNow().finally(() => (reading = undefined));
        await reading;
      }
      return secrets ? { kind: "known", settings: { secrets, bytesMax } } : { kind: "unknown" };
    },
  };
}

export function secretsOf(data: Record<string, string>): WebhookSecrets {
  const decoded = (key: string) => (data[key] ? Buffer.from(data[key], "base64").toString("utf8") : "");
  // An empty one is as good as none in Argo CD too, and `$key` names another key of this Secret.
  const valueOf = (key: string): string => {
    const text = decoded(key);
    return (text.startsWith("$") && decoded(text.slice(1))) || text;
  };
  const secrets: WebhookSecrets = {};
  for (const provider of PROVIDERS) {
    const values = SECRET_KEYS[provider].map(valueOf);
    if (values.some((value) => value !== "")) secrets[provider as Provider] = values.join(":");
  }
  return secrets;
}

export function bytesMaxOf(data: Record<string, string>): number | undefined {
  const megabytes = Number(data["webhook.maxPayloadSizeMB"]?.trim() || NaN);
  return megabytes > 0 ? Math.min(Math.ceil(megabytes * MIB), BYTES_CAP) : undefined;
}
