// The bare loop: a tight client that does exactly what a row needs and nothing else, so that each figure of ours
// stands beside the machine's own limit from the same run (DESIGN §9). Answers are read and thrown away.
import type { ClusterConfig } from "@driftless/kube/config";
import { Pool } from "undici";
import { appNamespace, appName, appObjects } from "./apps.ts";

const CONCURRENCY = 16;
const APPLY_QUERY = "fieldManager=bare-loop&force=true";

export interface BareLoop {
  /** `count` pieces of work, CONCURRENCY at a time. */
  each(count: number, work: (index: number) => Promise<void>): Promise<void>;
  apply(collection: string, object: Record<string, unknown>, dryRun?: boolean): Promise<void>;
  send(method: "POST" | "PATCH" | "DELETE" | "PUT", path: string, body: unknown, contentType?: string): Promise<void>;
  get(path: string): Promise<Record<string, unknown>>;
  metrics(): Promise<string>;
  close(): Promise<void>;
}

export function bareLoop(config: ClusterConfig): BareLoop {
  const pool = new Pool(config.server, {
    connections: CONCURRENCY,
    connect: { ca: config.ca, cert: config.cert, key: config.key },
  });
  const headers = async (): Promise<Record<string, string>> =>
    config.token ? { authorization: `Bearer ${await config.token()}` } : {};

  async function send(
    method: "POST" | "PATCH" | "DELETE" | "PUT",
    path: string,
    body: unknown,
    contentType = "application/json",
  ): Promise<void> {
    const answer = await pool.request({
      method,
      path,
      body: body === undefined ? null : JSON.stringify(body),
      headers: { "content-type": contentType, accept: "application/json", ...(await headers()) },
    });
    if (answer.statusCode >= 400)
      throw new Error(`${method} ${path}: ${answer.statusCode} ${await answer.body.text()}`);
    await answer.body.dump({ limit: 1 << 22 });
  }

  return {
    send,
    async each(count, work) {
      let next = 0;
      await Promise.all(
        Array.from({ length: Math.min(CONCURRENCY, count) }, async () => {
          while (next < count) await work(next++);
        }),
      );
    },
    apply: (collection, object, dryRun = false) =>
      send(
        "PATCH",
        `${collection}/${(object.metadata as { name: string }).name}?${APPLY_QUERY}${dryRun ? "&dryRun=All" : ""}`,
        object,
        "application/apply-patch+yaml",
      ),
    async get(path) {
      const answer = await pool.request({ method: "GET", path, headers: await headers() });
      if (answer.statusCode >= 400) throw new Error(`GET ${path}: ${answer.statusCode} ${await answer.body.text()}`);
      return (await answer.body.json()) as Record<string, unknown>;
    },
    async metrics() {
      const answer = await pool.request({ method: "GET", path: "/metrics", headers: await headers() });
      return await answer.body.text();
    },
    async close() {
      await pool.destroy();
    },
  };
}

const BARE_NAMESPACE = "bare-apps";
const applicationPath = (name = ""): string =>
  `/apis/argoproj.io/v1alpha1/namespaces/${BARE_NAMESPACE}/applications${name && `/${name}`}`;

/** Applications of the bare loop's own, in a namespace where no controller looks. */
export async function prepareBareApplications(
  bare: BareLoop,
  apps: number,
  spec: (index: number) => object,
): Promise<void> {
  await bare.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: BARE_NAMESPACE } });
  for (let n = 0; n < apps; n += 100) {
    const metadata = { name: appNamespace("bare", n) };
    await bare.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
  }
  await bare.each(apps, async (index) => {
    await bare.send("POST", applicationPath(), {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: { name: appName(index), namespace: BARE_NAMESPACE },
      spec: spec(index),
    });
  });
}

const merge = "application/merge-patch+json";

/** An operation record before the applies, as DESIGN §6 wants it. */
export async function writeOperation(bare: BareLoop, index: number, revision: string): Promise<void> {
  await bare.send(
    "PATCH",
    applicationPath(appName(index)),
    {
      status: {
        operationState: {
          phase: "Running",
          startedAt: new Date().toISOString().replace(/\.\d+Z/, "Z"),
          operation: {
            initiatedBy: { automated: true },
            info: [{ name: "driftless.io/operation-id", value: `bare-${index}` }],
            sync: { revision, prune: true },
          },
          syncResult: { revision, resources: [] },
        },
      },
    },
    merge,
  );
}

/** The outcome: what a person reads with kubectl. */
export async function writeStatus(bare: BareLoop, index: number, revision: string): Promise<void> {
  const now = new Date().toISOString().replace(/\.\d+Z/, "Z");
  const resources = appObjects(index, "x").map(({ object }) => ({
    group: (object.apiVersion as string).includes("/") ? (object.apiVersion as string).split("/")[0] : "",
    version: "v1",
    kind: object.kind,
    namespace: appNamespace("bare", index),
    name: appName(index),
    status: "Synced",
  }));
  await bare.send(
    "PATCH",
    applicationPath(appName(index)),
    {
      status: {
        sync: { status: "Synced", revision },
        health: { status: "Healthy" },
        resources,
        reconciledAt: now,
        operationState: { phase: "Succeeded", finishedAt: now, message: "successfully synced (all tasks run)" },
      },
    },
    merge,
  );
}
