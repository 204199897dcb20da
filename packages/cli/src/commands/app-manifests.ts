// `driftless app manifests`: what Git renders to (desired), what the cluster has (live), or what differs (diff), as YAML.
// Values of Secrets are masked.
import type { Application } from "@driftless/contracts/application";
import type { Cluster } from "@driftless/kube/clusters";
import { isSecret, MASK } from "@driftless/kube/mask";
import { readManifests } from "@driftless/manifests/of-sources";
import { appName, getApplication, type AppName } from "../applications.ts";
import { CliError } from "../cli-error.ts";
import { namespaceOf, withBus, withCluster, type ConnectionOptions } from "../connection.ts";
import { withDestination } from "../destination.ts";
import { say, sayJson } from "../output.ts";
import { newestTransition } from "../transitions.ts";
import { appDiff } from "./app-diff.ts";
import { yamlOf } from "./render.ts";

interface ManifestsOptions extends ConnectionOptions {
  source: "desired" | "live" | "diff";
  timeout: number;
  output: "yaml" | "json";
}
type Json = Record<string, unknown>;

export async function appManifests(text: string, options: ManifestsOptions): Promise<void> {
  const output = options.output === "json" ? "json" : "table";
  if (options.source === "diff") return appDiff(text, { ...options, refresh: false, output });
  const name = appName(text, await namespaceOf(options));
  const objects = await withCluster(options, async (client) => {
    const app = await getApplication(client, name);
    return options.source === "desired"
      ? desiredOf(name, options)
      : withDestination(client, app, (cluster) => liveOf(app, cluster));
  });
  const shown = objects.map(masked);
  if (options.output === "json") return sayJson(shown);
  say(shown.map((object) => yamlOf(JSON.stringify(object))).join("\n---\n"));
}

/** The last render, as NATS keeps it; the Application itself names only its digest. */
async function desiredOf(name: AppName, options: ManifestsOptions): Promise<Json[]> {
  return withBus(options, async (bus) => {
    const { manifestsDigest } = (await newestTransition(bus, name, "*")) ?? {};
    const read = (digest: string) => bus.blobs.get(digest);
    const decoded = manifestsDigest === undefined ? undefined : await readManifests(manifestsDigest, read);
    if (decoded?.kind !== "ok") {
      throw new CliError(
        `${name.name}: what it renders to is not kept any more; \`driftless app refresh --hard ${name.name}\` renders it anew`,
      );
    }
    return decoded.manifests.map(({ apiVersion, kind, metadata, body }) => ({
      apiVersion,
      kind,
      metadata,
      ...(body === "" ? {} : (JSON.parse(`{${body}}`) as Json)),
    }));
  });
}

async function liveOf(app: Application, cluster: Cluster): Promise<Json[]> {
  const objects = await Promise.all(
    (app.status?.resources ?? []).map(async ({ group = "", version, kind = "", namespace = "", name = "" }) => {
      const found = await cluster.discovery.resourceFor(group, kind, version);
      if (found.kind !== "ok") return [];
      const read = await cluster.client.get(found.resource, namespace, name);
      if (read.kind === "ok") return [read.object as Json];
      if (read.error.code === "NOT_FOUND") return [];
      throw new CliError(`${kind} ${name} cannot be read: ${read.error.message}`);
    }),
  );
  return objects.flat().map(({ metadata, ...rest }) => {
    const { managedFields: _, ...others } = metadata as Json;
    return { ...rest, metadata: others };
  });
}

function masked(object: Json): Json {
  if (!isSecret(object)) return object;
  const hidden = (member: unknown) =>
    typeof member === "object" && member !== null
      ? Object.fromEntries(Object.keys(member).map((key) => [key, MASK]))
      : undefined;
  const metadata = object["metadata"] as { annotations?: Record<string, string> };
  const annotations = metadata.annotations && {
    ...metadata.annotations,
    ...("kubectl.kubernetes.io/last-applied-configuration" in metadata.annotations && {
      "kubectl.kubernetes.io/last-applied-configuration": MASK,
    }),
  };
  return {
    ...object,
    metadata: { ...metadata, ...(annotations && { annotations }) },
    ...(object["data"] !== undefined && { data: hidden(object["data"]) }),
    ...(object["stringData"] !== undefined && { stringData: hidden(object["stringData"]) }),
  };
}
