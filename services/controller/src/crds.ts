// CRDs (edge): made when they are missing; one that exists is Argo CD's or somebody's own and is never replaced.
import { CRDS } from "@driftless/contracts/crd";
import type { KubeClient } from "@driftless/kube/client";
import type { KubeError } from "@driftless/kube/outcome";
import type { KubeObject } from "@driftless/kube/resource";
import { waitUntil } from "@driftless/process/clock";
import { ConfigError } from "@driftless/process/config";
import { CUSTOM_RESOURCE_DEFINITIONS, PROJECTS } from "./resources.ts";

const ESTABLISHED_DEADLINE_MS = 30_000;

export type EnsureOutcome = { kind: "ok"; created: string[] } | { kind: "error"; error: KubeError };

export async function ensureCrds(client: KubeClient): Promise<EnsureOutcome> {
  const created: string[] = [];
  for (const make of CRDS) {
    const crd = make();
    const { name } = crd.metadata;
    const there = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "", name);
    if (there.kind === "error") {
      if (there.error.code !== "NOT_FOUND") return there;
      const made = await client.create(CUSTOM_RESOURCE_DEFINITIONS, "", JSON.stringify(crd));
      if (made.kind === "error" && made.error.code !== "ALREADY_EXISTS") return made;
      if (made.kind === "ok") created.push(name);
    }
    await waitUntil(client.clock, `CRD ${name} is established`, () => established(client, name), {
      deadlineMs: ESTABLISHED_DEADLINE_MS,
    });
  }
  return { kind: "ok", created };
}

/** Where nothing may be written they have to be there. */
export async function requireCrds(client: KubeClient): Promise<void> {
  for (const make of CRDS) {
    const { name } = make().metadata;
    const there = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "", name);
    if (there.kind === "ok") continue;
    if (there.error.code === "NOT_FOUND")
      throw new ConfigError(`there is no CRD ${name} in this cluster: without Argo CD there is nothing to observe`);
    throw new Error(`the CRD ${name} cannot be read: ${there.error.message}`);
  }
}

async function established(client: KubeClient, name: string): Promise<boolean> {
  const read = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "", name);
  return read.kind === "ok" && isEstablished(read.object);
}

function isEstablished(crd: KubeObject): boolean {
  const status = crd["status"] as { conditions?: { type: string; status: string }[] } | undefined;
  return status?.conditions?.some(({ type, status: value }) => type === "Established" && value === "True") ?? false;
}

/** The project that Applications without one belong to, as Argo CD makes it at its first start. */
export async function ensureDefaultProject(client: KubeClient, namespace: string): Promise<EnsureOutcome> {
  const there = await client.get(PROJECTS, namespace, "default");
  if (there.kind === "ok") return { kind: "ok", created: [] };
  if (there.error.code !== "NOT_FOUND") return there;
  const project = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name: "default", namespace },
    spec: {
      sourceRepos: ["*"],
      destinations: [{ server: "*", namespace: "*" }],
      clusterResourceWhitelist: [{ group: "*", kind: "*" }],
    },
  };
  const made = await client.create(PROJECTS, namespace, JSON.stringify(project));
  if (made.kind === "error" && made.error.code !== "ALREADY_EXISTS") return made;
  return { kind: "ok", created: ["default"] };
}
