// The configuration of every service: environment variables, read once, checked and named in full.
import { hostname } from "node:os";
import { z } from "zod";

const port = z.coerce.number().int().min(0).max(65_535);
const count = (fallback: number) => z.coerce.number().int().min(1).max(1_000).default(fallback);

const VARIABLES = {
  natsUrl: ["DRIFTLESS_NATS_URL", z.string().min(1).default("nats://127.0.0.1:4222")],
  /** File; without it the pod's own service account. */
  kubeconfig: ["DRIFTLESS_KUBECONFIG", z.string().optional()],
  kubeContext: ["DRIFTLESS_KUBE_CONTEXT", z.string().optional()],
  /** Where Applications, AppProjects and Argo CD's Secrets and ConfigMaps live. */
  namespace: ["DRIFTLESS_NAMESPACE", z.string().min(1).default("argocd")],
  apiHost: ["DRIFTLESS_API_HOST", z.string().min(1).default("127.0.0.1")],
  /** 0 takes any free port. */
  apiPort: ["DRIFTLESS_API_PORT", port.default(8080)],
  /** A webhook's body over this is refused before anything of it is parsed. */
  webhookBytesMax: [
    "DRIFTLESS_WEBHOOK_BYTES_MAX",
    z.coerce.number().int().min(1_024).max(67_108_864).default(1_048_576),
  ],
  logLevel: ["DRIFTLESS_LOG_LEVEL", z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info")],
  /** Path of the render engine's binary; without it the one built into the user's cache. */
  renderEngine: ["DRIFTLESS_RENDER_ENGINE", z.string().optional()],
  /** Render engine children. */
  renderEngines: ["DRIFTLESS_RENDER_ENGINES", count(2)],
  /** Items that one worker handles at a time. */
  concurrency: ["DRIFTLESS_CONCURRENCY", count(32)],
  /** Requests of one service to one API server that may be on their way at a time. */
  kubeRequestsMax: ["DRIFTLESS_KUBE_REQUESTS_MAX", count(48)],
  /** Seconds between two looks at a repository that no webhook speaks for. */
  pollSeconds: ["DRIFTLESS_POLL_SECONDS", z.coerce.number().min(1).max(86_400).default(180)],
  /** Compare and show, never write to any cluster. */
  observe: ["DRIFTLESS_OBSERVE", z.enum(["true", "false", "1", "0", ""]).default("false")],
  /** Unique among the living replicas of a service. */
  replica: [
    "DRIFTLESS_REPLICA",
    z
      .string()
      .regex(/^[A-Za-z0-9_-]+$/)
      .optional(),
  ],
} as const satisfies Record<string, readonly [string, z.ZodType]>;

type Variables = typeof VARIABLES;
type Values = { readonly [K in keyof Variables]: z.output<Variables[K][1]> };
export type Config = Omit<Values, "observe" | "replica"> & { readonly observe: boolean; readonly replica: string };

/** Names the variable, never its value: it may hold a credential. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** An empty variable counts as unset, as compose files and charts write it. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const problems: string[] = [];
  const entries = Object.entries(VARIABLES).map(([key, [variable, schema]]) => {
    const parsed = schema.safeParse(env[variable] === "" ? undefined : env[variable]);
    if (!parsed.success) {
      problems.push(`${variable}: ${parsed.error.issues.map((issue) => issue.message).join(", ")}`);
    }
    return [key, parsed.data] as const;
  });
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const values = Object.fromEntries(entries) as unknown as Values;
  return {
    ...values,
    observe: values.observe === "true" || values.observe === "1",
    // The process id tells two of one machine apart; a pod's host name is its own anyway.
    replica: values.replica ?? `${hostname().replaceAll(/[^A-Za-z0-9_-]/g, "-")}-${process.pid}`,
  };
}
