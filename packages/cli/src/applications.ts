// Applications as the commands use them: read, ask for a refresh or a sync, wait for what the status says.
import type { Application } from "@driftless/contracts/application";
import type { KubeClient } from "@driftless/kube/client";
import { systemClock } from "@driftless/process/clock";
import { CliError, usageError } from "./cli-error.ts";

export const REFRESH_ANNOTATION = "argocd.argoproj.io/refresh";

const LOOK_INTERVAL_MS = 100;

export interface AppName {
  namespace: string;
  name: string;
}

const DNS_NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/** "guestbook" or "team-a/guestbook". */
export function appName(text: string, namespace: string): AppName {
  const parts = text.split("/");
  const [first, second] = parts;
  const name = second === undefined ? { namespace, name: first! } : { namespace: first!, name: second };
  if (parts.length > 2 || !DNS_NAME.test(name.name) || !DNS_NAME.test(name.namespace)) {
    throw usageError(`${JSON.stringify(text)} is not the name of an Application (NAME or NAMESPACE/NAME)`);
  }
  return name;
}

const pathOf = (namespace: string, name = "") =>
  `/apis/argoproj.io/v1alpha1/namespaces/${encodeURIComponent(namespace)}/applications${name && `/${encodeURIComponent(name)}`}`;

export async function listApplications(
  client: KubeClient,
  namespace: string,
  selector?: string,
): Promise<Application[]> {
  const items: Application[] = [];
  let next: string | undefined;
  do {
    const outcome = await client.request<{ items: Application[]; metadata: { continue?: string } }>({
      method: "GET",
      path: pathOf(namespace),
      query: { limit: 500, continue: next, labelSelector: selector },
    });
    if (outcome.kind === "error") {
      const hint = outcome.error.code === "NOT_FOUND" ? " (are Argo CD's CRDs installed there?)" : "";
      throw new CliError(`cannot list Applications of ${namespace}: ${outcome.error.message}${hint}`);
    }
    items.push(...outcome.object.items);
    next = outcome.object.metadata.continue || undefined;
  } while (next);
  return items;
}

export async function getApplication(client: KubeClient, app: AppName): Promise<Application> {
  const found = await findApplication(client, app);
  if (found) return found;
  throw new CliError(`no Application ${app.name} in namespace ${app.namespace}; \`driftless app list\` shows all`);
}

/** Undefined when there is none. */
export async function findApplication(client: KubeClient, app: AppName): Promise<Application | undefined> {
  const outcome = await client.request<Application>({ method: "GET", path: pathOf(app.namespace, app.name) });
  if (outcome.kind === "ok") return outcome.object;
  if (outcome.error.code === "NOT_FOUND") return undefined;
  throw new CliError(`cannot read Application ${app.name}: ${outcome.error.message}`);
}

export async function deleteApplication(client: KubeClient, app: AppName): Promise<void> {
  const outcome = await client.request({ method: "DELETE", path: pathOf(app.namespace, app.name) });
  if (outcome.kind === "ok" || outcome.error.code === "NOT_FOUND") return;
  throw new CliError(`cannot delete Application ${app.name}: ${outcome.error.message}`);
}

export async function hasApplication(client: KubeClient, app: AppName): Promise<boolean> {
  const outcome = await client.request({ method: "GET", path: pathOf(app.namespace, app.name) });
  return outcome.kind === "ok" || outcome.error.code !== "NOT_FOUND";
}

/** `conflict` when the Application has changed since `resourceVersion` was read. */
export async function patchApplication(
  client: KubeClient,
  app: AppName,
  patch: Record<string, unknown>,
): Promise<"patched" | "conflict"> {
  const outcome = await client.request({
    method: "PATCH",
    path: pathOf(app.namespace, app.name),
    contentType: "application/merge-patch+json",
    body: JSON.stringify(patch),
  });
  if (outcome.kind === "ok") return "patched";
  if (outcome.error.code === "CONFLICT") return "conflict";
  throw new CliError(`cannot change Application ${app.name}: ${outcome.error.message}`);
}

/** Asks for a look at Git and cluster and waits until it was taken up and is over. */
export async function refreshApplication(
  client: KubeClient,
  app: AppName,
  mode: "normal" | "hard",
  deadlineMs: number,
): Promise<Application> {
  await patchApplication(client, app, { metadata: { annotations: { [REFRESH_ANNOTATION]: mode } } });
  return untilApplication(client, app, deadlineMs, "the refresh to be over (do the services run?)", (current) =>
    refreshPending(current) ? undefined : current,
  );
}

export const refreshPending = (app: Application): boolean =>
  app.metadata.annotations?.[REFRESH_ANNOTATION] !== undefined;

/** Looks until `check` gives something; the error says what was waited for. */
export async function untilApplication<T>(
  client: KubeClient,
  app: AppName,
  deadlineMs: number,
  what: string | (() => string),
  check: (current: Application) => T | undefined,
): Promise<T> {
  const end = systemClock.monotonic() + deadlineMs;
  for (;;) {
    const found = check(await getApplication(client, app));
    if (found !== undefined) return found;
    if (systemClock.monotonic() >= end) {
      const awaited = typeof what === "string" ? what : what();
      throw new CliError(`${app.namespace}/${app.name}: waited ${deadlineMs / 1000} s for ${awaited}`);
    }
    await systemClock.sleep(LOOK_INTERVAL_MS);
  }
}

export const operationBegun = (app: Application): boolean =>
  ["Running", "Terminating"].includes(app.status?.operationState?.phase ?? "");

/** Or asked for; its field stays as long as it runs. */
export const operationRunning = (app: Application): boolean => app.operation !== undefined || operationBegun(app);
