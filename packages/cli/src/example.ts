// What a new local cluster begins with: the namespace, the project `default`, and Application `guestbook` from a
// repository of the local Git server. Never put into a cluster of the user's own.
import { randomBytes } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import type { KubeClient } from "@driftless/kube/client";
import type { GitServer } from "@driftless/local/git-server";
import { systemClock } from "@driftless/process/clock";
import { CliError } from "./cli-error.ts";

const FILES = path.join(import.meta.dirname, "../../../deploy/local/example");
const REPOSITORY = "example";
const DEADLINE_MS = 30_000;

/** Before the services start: they may look for it at once. */
export async function createNamespace(client: KubeClient, namespace: string): Promise<void> {
  const metadata = { name: namespace };
  await create(client, "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
}

/** Once the services have installed the CRDs. */
export async function createExample(
  client: KubeClient,
  options: { namespace: string; git: GitServer; apiUrl: string },
): Promise<void> {
  const { namespace, git, apiUrl } = options;
  const repository = await git.createRepository(REPOSITORY, await exampleFiles());
  await git.setWebhook({ url: `${apiUrl}/api/webhook`, secret: await webhookSecret(client, namespace) });

  const argo = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}`;
  const apiVersion = "argoproj.io/v1alpha1";
  const any = { group: "*", kind: "*" };
  await create(client, `${argo}/appprojects`, {
    apiVersion,
    kind: "AppProject",
    metadata: { name: "default", namespace },
    spec: {
      sourceRepos: ["*"],
      destinations: [{ namespace: "*", server: "*" }],
      clusterResourceWhitelist: [any],
    },
  });
  await create(client, `${argo}/applications`, {
    apiVersion,
    kind: "Application",
    metadata: { name: "guestbook", namespace },
    spec: {
      project: "default",
      source: { repoURL: repository.url, path: "guestbook", targetRevision: "main" },
      destination: { server: "https://kubernetes.default.svc", namespace: "guestbook" },
      syncPolicy: { automated: { prune: true, selfHeal: true }, syncOptions: ["CreateNamespace=true"] },
    },
  });
  // The Git server takes another port when its own is taken, and the Application outlives the run.
  await pointAt(client, `${argo}/applications/guestbook`, repository.url);
}

async function exampleFiles(): Promise<Record<string, string>> {
  const entries = await readdir(FILES, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const read = files.map(async (file) => [path.relative(FILES, file), await readFile(file, "utf8")] as const);
  return Object.fromEntries(await Promise.all(read));
}

/** Drawn once for the cluster, so that even the example's webhook is a signed one. */
async function webhookSecret(client: KubeClient, namespace: string): Promise<string> {
  const collection = `/api/v1/namespaces/${namespace}/secrets`;
  const key = "webhook.github.secret";
  await create(client, collection, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "argocd-secret", namespace, labels: { "app.kubernetes.io/part-of": "argocd" } },
    stringData: { [key]: randomBytes(20).toString("hex") },
  });
  const outcome = await client.request<{ data?: Record<string, string> }>({
    method: "GET",
    path: `${collection}/argocd-secret`,
    kind: "Secret",
  });
  if (outcome.kind === "error") throw new CliError(`cannot read Secret argocd-secret: ${outcome.error.message}`);
  return Buffer.from(outcome.object.data?.[key] ?? "", "base64").toString("utf8");
}

async function pointAt(client: KubeClient, application: string, repoURL: string): Promise<void> {
  const current = await client.request<{ spec: { source?: { repoURL?: string } } }>({
    method: "GET",
    path: application,
  });
  const before = current.kind === "ok" ? current.object.spec.source?.repoURL : undefined;
  if (before === undefined || before === repoURL || !before.startsWith("http://127.0.0.1:")) return;
  const body = JSON.stringify({ spec: { source: { repoURL } } });
  const contentType = "application/merge-patch+json";
  const outcome = await client.request({ method: "PATCH", path: application, body, contentType });
  if (outcome.kind === "error") throw new CliError(`cannot change the example: ${outcome.error.message}`);
}

/** One that is there stays as it is. A kind that is not served yet (its CRD is new) is waited for. */
async function create(client: KubeClient, path: string, object: Record<string, unknown>): Promise<void> {
  const end = systemClock.monotonic() + DEADLINE_MS;
  for (;;) {
    const body = JSON.stringify(object);
    const kind = String(object["kind"]);
    const outcome = await client.request({ method: "POST", path, body, contentType: "application/json", kind });
    if (outcome.kind === "ok" || outcome.error.code === "ALREADY_EXISTS") return;
    if (outcome.error.code !== "NOT_FOUND" || systemClock.monotonic() > end) {
      throw new CliError(`cannot create ${kind}: ${outcome.error.message}`);
    }
    await systemClock.sleep(50);
  }
}
