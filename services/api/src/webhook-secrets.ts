// Edge: the webhooks' secrets, from Secret `argocd-secret` of the control plane's namespace.
//
// W1  Not known is not "none": while the Secret cannot be read and never was, a webhook is answered 503, since
//     accepting it would switch the signatures off. Once read, the last known secrets hold while the API server is away.
import type { KubeClient } from "@driftless/kube/client";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import { PROVIDERS, SECRET_KEYS, type WebhookSecrets } from "./webhooks.ts";

/** A changed secret holds after so long at the latest. */
const FRESH_MS = 5_000;
const READ_DEADLINE_MS = 2_000;

export type SecretsOutcome = { kind: "known"; secrets: WebhookSecrets } | { kind: "unknown" };

export function webhookSecrets(options: {
  kube: Pick<KubeClient, "request">;
  namespace: string;
  clock: Clock;
  logger: Logger;
}): { read(): Promise<SecretsOutcome> } {
  const { kube, namespace, clock, logger } = options;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/argocd-secret`;
  let known: WebhookSecrets | undefined;
  let readAt = -Infinity;
  let reading: Promise<void> | undefined;

  async function readNow(): Promise<void> {
    const outcome = await kube.request<{ data?: Record<string, string> }>({
      method: "GET",
      path,
      kind: "Secret",
      deadlineMs: READ_DEADLINE_MS,
    });
    if (outcome.kind === "ok") known = secretsOf(outcome.object.data ?? {});
    else if (outcome.error.code === "NOT_FOUND") known = {};
    else logger.warn({ code: outcome.error.code, known: known !== undefined }, "webhook secrets cannot be read now");
    readAt = clock.monotonic();
  }

  return {
    async read() {
      if (clock.monotonic() - readAt > FRESH_MS || known === undefined) {
        reading ??= readNow().finally(() => (reading = undefined));
        await reading;
      }
      return known ? { kind: "known", secrets: known } : { kind: "unknown" };
    },
  };
}

function secretsOf(data: Record<string, string>): WebhookSecrets {
  const decoded = (key: string) => (data[key] ? Buffer.from(data[key], "base64").toString("utf8") : "");
  const secrets: WebhookSecrets = {};
  for (const provider of PROVIDERS) {
    // An empty one is as good as none in Argo CD too, and `$key` names another key of this Secret.
    const text = decoded(SECRET_KEYS[provider]);
    const secret = (text.startsWith("$") && decoded(text.slice(1))) || text;
    if (secret) secrets[provider] = secret;
  }
  return secrets;
}
