// The world of a system test, the demo or a bench: real nats-server, real control plane, real Git server, and all
// services in one process of their own, which can be killed and started again.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GitRequest, GitServer } from "@driftless/local/git-server";
import { CRDS } from "@driftless/contracts/crd";
import { startControlPlane } from "@driftless/local/control-plane";
import { type Local, type LocalOptions, startLocal } from "@driftless/local/local";
import { startNats } from "@driftless/local/nats";
import { createClient, type KubeClient } from "@driftless/kube/client";
import { loadConfig } from "@driftless/kube/config";
import { Applications } from "./applications.ts";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { startServices, type Services, type ServicesOptions } from "./services.ts";

export interface World extends AsyncDisposable {
  readonly home: string;
  readonly local: Local;
  readonly git: GitServer;
  /** What the Git server was asked, oldest first. */
  readonly requests: readonly GitRequest[];
  readonly client: KubeClient;
  readonly applications: Applications;
  readonly services: Services;
  /** kill -9 if it still runs, then started again on the same port; `wipe` loses all of its data. */
  restartNats(options?: { wipe?: boolean }): Promise<void>;
  /** The whole control plane, stopped and started again on the same port with its data. */
  restartApiServer(): Promise<void>;
}

export interface WorldOptions extends Omit<ServicesOptions, "natsUrl" | "kubeconfigPath" | "home"> {
  /** State folder; a temporary one, deleted afterwards, when absent. */
  home?: string;
  onProgress?: LocalOptions["onProgress"];
  /** Entries of ConfigMap argocd-cm. */
  settings?: Record<string, string>;
  /** With the CRDs there before any service starts, as where Argo CD is installed. */
  crds?: boolean;
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), "driftless-world-")));
  const requests: GitRequest[] = [];
  const onGitRequest = (request: GitRequest): void => void requests.push(request);
  const local = await startLocal({
    onGitRequest,
    home,
    fresh: true,
    anyPorts: true,
    unsafeNoFsync: true,
    onProgress: options.onProgress,
  });
  const { natsUrl, kubeconfigPath, git } = local;
  if (!natsUrl || !kubeconfigPath || !git) throw new Error("startLocal left out a part that nobody asked it to");
  const client = await kubeClient(kubeconfigPath);
  await createControlPlaneNamespace(client, options.settings ?? {});
  if (options.crds) for (const make of CRDS) await create(client, CRDS_PATH, { ...make() });
  const services = await startServices({ ...options, home, natsUrl, kubeconfigPath });
  await createDefaultProject(client);
  const applications = new Applications(client);
  return {
    home,
    local,
    git,
    requests,
    client,
    applications,
    services,
    async restartNats({ wipe = false } = {}) {
      const { port } = local.nats!;
      await local.nats!.kill();
      local.replaceNats(await startNats(local.state, local.programs, { port, fresh: wipe }));
    },
    async restartApiServer() {
      const { port } = local.cluster!;
      await local.cluster!.stop();
      local.replaceCluster(await startControlPlane(local.state, local.programs, { port, unsafeNoFsync: true }));
    },
    async [Symbol.asyncDispose]() {
      await services.stop();
      await client.close();
      await local.stop();
      if (!options.home) await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

export async function kubeClient(kubeconfigPath: string): Promise<KubeClient> {
  const config = await loadConfig({ kind: "kubeconfig", path: kubeconfigPath });
  if (config.kind === "error") throw new Error(`kubeconfig ${kubeconfigPath}: ${config.error.message}`);
  return createClient(config.config);
}

const CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async function create(client: KubeClient, path: string, object: Record<string, unknown>): Promise<boolean> {
  const outcome = await client.request({ method: "POST", path, body: JSON.stringify(object) });
  if (outcome.kind === "ok" || outcome.error.code === "ALREADY_EXISTS") return true;
  if (outcome.error.code === "NOT_FOUND") return false;
  throw new Error(`POST ${path}: ${outcome.error.message}`);
}

async function createControlPlaneNamespace(client: KubeClient, settings: Record<string, string>): Promise<void> {
  await create(client, "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "argocd" } });
  await create(client, "/api/v1/namespaces/argocd/configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "argocd-cm", labels: { "app.kubernetes.io/part-of": "argocd" } },
    data: settings,
  });
}

/** Once the services have installed the CRDs. */
async function createDefaultProject(client: KubeClient): Promise<void> {
  const project = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name: "default" },
    spec: {
      sourceRepos: ["*"],
      destinations: [{ namespace: "*", server: "*" }],
      clusterResourceWhitelist: [{ group: "*", kind: "*" }],
    },
  };
  await waitUntil(
    systemClock,
    "the AppProject CRD is served",
    () => create(client, "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects", project),
    { deadlineMs: 30_000 },
  );
}
