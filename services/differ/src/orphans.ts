// Orphans: what stands in an Application's destination namespace and belongs to no Application (contract §11), for those
// whose AppProject asks for it. Nobody else pays: nothing is watched for it; a survey lists the namespace, names and
// owners only, and serves all who ask within a moment.
import type { ObjectKey } from "@driftless/contracts/identity";
import type { OrphanRule, ResourceFilter } from "@driftless/contracts/pipeline/4-diff";
import type { Cluster } from "@driftless/kube/clusters";
import { APPLICATIONS, pathOf, type ApiResource, type KubeObject } from "@driftless/kube/resource";
import { matchesGlob } from "@driftless/manifests/glob";
import { isExcluded } from "@driftless/manifests/resource-filter";
import { keyText } from "@driftless/manifests/resource-key";
import { trackerOf, trackingName, type Tracking } from "@driftless/manifests/tracking";
import { createLimit } from "@driftless/process/limits";
import { objectId } from "./seen.ts";

/** An object as a survey sees it: its metadata is all there is. */
export interface Surveyed {
  key: ObjectKey;
  metadata: KubeObject["metadata"];
}

export interface Survey {
  objects: readonly Surveyed[];
  /** Names in tracking ids of the Applications there are. */
  apps: ReadonlySet<string>;
}

export interface OrphanQuestion {
  tracking: Tracking;
  /** The Application's own, tracked already or not yet. */
  own: ReadonlySet<string>;
  ignore: readonly OrphanRule[];
  server: string;
  resourceFilter: ResourceFilter | undefined;
}

/** Pure. */
export function orphansIn({ objects, apps }: Survey, question: OrphanQuestion): ObjectKey[] {
  const { tracking, own, ignore, server, resourceFilter } = question;
  const there = new Set(objects.map(({ key }) => `${key.kind} ${objectId(key.namespace, key.name)}`));
  return objects.flatMap(({ key, metadata }) => {
    const tracker = trackerOf(metadata, key, tracking);
    // Of another namespace than the control plane's: perhaps none that may be read here.
    const isTracked = tracker !== undefined && (apps.has(tracker) || tracker.includes("_"));
    const spared =
      isTracked ||
      own.has(keyText(key)) ||
      (metadata.ownerReferences?.length ?? 0) > 0 ||
      isMadeFor(key, metadata, there) ||
      isClusterOwn(key) ||
      isExcluded(key, server, resourceFilter) ||
      ignore.some((rule) => ignores(rule, key));
    return spared ? [] : [key];
  });
}

const ignores = ({ group, kind, name }: OrphanRule, key: ObjectKey): boolean =>
  (!kind || matchesGlob(kind, key.kind)) &&
  matchesGlob(group ?? "", key.group) &&
  (!name || matchesGlob(name, key.name));

/** What every namespace, or the namespace `default`, has by itself. */
function isClusterOwn({ group, kind, namespace, name }: ObjectKey): boolean {
  if (group !== "") return false;
  return (
    (kind === "ServiceAccount" && name === "default") ||
    (kind === "ConfigMap" && name === "kube-root-ca.crt") ||
    (kind === "Service" && name === "kubernetes" && namespace === "default")
  );
}

/** Objects that controllers make for another one without saying so in ownerReferences. */
function isMadeFor(
  { group, kind, namespace, name }: ObjectKey,
  metadata: Surveyed["metadata"],
  there: ReadonlySet<string>,
) {
  if (group !== "") return false;
  if (kind === "Endpoints") return there.has(`Service ${objectId(namespace, name)}`);
  if (kind === "Secret") {
    const account = metadata.annotations?.["kubernetes.io/service-account.name"];
    return account !== undefined && there.has(`ServiceAccount ${objectId(namespace, account)}`);
  }
  if (kind !== "PersistentVolumeClaim") return false;
  // `<template>-<StatefulSet>-<ordinal>`, and both names may have dashes.
  const parts = name.split("-");
  if (!/^\d+$/.test(parts.at(-1)!)) return false;
  return parts.some(
    (_part, n) => n > 0 && there.has(`StatefulSet ${objectId(namespace, parts.slice(n, -1).join("-"))}`),
  );
}

/** So long one survey serves those whom nobody waits for. */
const SHARED_MS = 5_000;
const LISTS_MAX = 8;
const LIST_DEADLINE_MS = 15_000;
const METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const PAGE_SIZE = 500;

export interface Surveyor {
  survey(cluster: Cluster, namespace: string, options: { fresh: boolean }): Promise<Survey | undefined>;
}

/** Edge. */
export function createSurveyor(controlPlane: Cluster, controlPlaneNamespace: string): Surveyor {
  const surveys = new Map<string, { at: number; survey: Promise<Survey | undefined>; done: boolean }>();
  const limit = createLimit(LISTS_MAX);
  const { clock } = controlPlane.client;

  async function survey(cluster: Cluster, namespace: string): Promise<Survey | undefined> {
    const kinds = await cluster.discovery.all();
    if (kinds.kind === "error") return undefined;
    const listed = kinds.resources.filter(
      (resource) =>
        resource.namespaced && resource.verbs.includes("list") && !isExcluded(resource, cluster.server, undefined),
    );
    const [apps, ...objects] = await Promise.all([
      limit(
        async () => (await list(controlPlane, APPLICATIONS)) ?? list(controlPlane, APPLICATIONS, controlPlaneNamespace),
      ),
      ...listed.map((resource) => limit(() => list(cluster, resource, namespace))),
    ]);
    // Without knowing who there is, all would be orphans.
    if (!apps) return undefined;
    // A kind that may not be read has no orphans that anybody could be told of.
    return {
      objects: objects.flatMap((some) => some ?? []),
      apps: new Set(apps.map(({ key }) => trackingName({ ...key, controlPlaneNamespace }))),
    };
  }

  return {
    survey(cluster, namespace, { fresh }) {
      const now = clock.monotonic();
      for (const [id, { done, at }] of surveys) if (done && now - at >= SHARED_MS) surveys.delete(id);
      const id = `${cluster.server} ${namespace}`;
      const known = surveys.get(id);
      if (known && !(known.done && fresh)) return known.survey;
      const entry = { at: 0, survey: survey(cluster, namespace), done: false };
      surveys.set(id, entry);
      const settled = () => Object.assign(entry, { at: clock.monotonic(), done: true });
      void entry.survey.then(settled, settled);
      return entry.survey;
    },
  };
}

async function list(cluster: Cluster, resource: ApiResource, namespace?: string): Promise<Surveyed[] | undefined> {
  const { group, version, kind } = resource;
  const found: Surveyed[] = [];
  let token: string | undefined;
  do {
    const page: Awaited<ReturnType<typeof cluster.client.request<MetadataList>>> =
      await cluster.client.request<MetadataList>({
        method: "GET",
        path: pathOf(resource, namespace),
        query: { limit: PAGE_SIZE, continue: token },
        accept: METADATA_ONLY,
        deadlineMs: LIST_DEADLINE_MS,
        kind,
      });
    if (page.kind === "error") return undefined;
    for (const { metadata } of page.object.items ?? []) {
      found.push({ key: { group, version, kind, namespace: metadata.namespace ?? "", name: metadata.name }, metadata });
    }
    token = page.object.metadata?.continue || undefined;
  } while (token);
  return found;
}

interface MetadataList {
  items?: Pick<KubeObject, "metadata">[];
  metadata?: { continue?: string };
}
