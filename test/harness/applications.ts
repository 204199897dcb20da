// Applications as a test sees them: create, patch, wait for what the status says.
import type { KubeClient } from "@driftless/kube/client";
import { systemClock, waitUntil } from "@driftless/process/clock";

export interface ApplicationStatus {
  sync?: { status?: string; revision?: string };
  health?: { status?: string; message?: string };
  conditions?: { type: string; message: string }[];
  resources?: { group?: string; kind: string; namespace?: string; name: string; status?: string }[];
  operationState?: {
    phase: string;
    message?: string;
    startedAt?: string;
    finishedAt?: string;
    operation?: Record<string, unknown>;
    syncResult?: { revision?: string; resources?: ResourceResult[] };
  };
  history?: { id: number; revision?: string }[];
  summary?: { images?: string[] };
}

export interface ResourceResult {
  kind: string;
  name: string;
  status?: string;
  message?: string;
  hookType?: string;
  hookPhase?: string;
  syncPhase?: string;
}

export interface ApplicationObject {
  metadata: {
    name: string;
    namespace: string;
    resourceVersion: string;
    uid: string;
    annotations?: Record<string, string>;
  };
  spec: Record<string, unknown>;
  operation?: Record<string, unknown>;
  status?: ApplicationStatus;
}

export interface ApplicationSpec {
  name: string;
  repoURL: string;
  path: string;
  targetRevision?: string;
  destinationNamespace?: string;
  project?: string;
  automated?: Record<string, unknown> | false;
  syncOptions?: string[];
  directory?: Record<string, unknown>;
  /** Merged over the source: `helm`, `kustomize`, … */
  source?: Record<string, unknown>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  /** Merged over the spec made from the rest. */
  spec?: Record<string, unknown>;
}

const PATH = "/apis/argoproj.io/v1alpha1/namespaces";

export class Applications {
  readonly #client: KubeClient;
  readonly namespace: string;

  constructor(client: KubeClient, namespace = "argocd") {
    this.#client = client;
    this.namespace = namespace;
  }

  object(app: ApplicationSpec): Record<string, unknown> {
    return {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: {
        name: app.name,
        namespace: this.namespace,
        annotations: app.annotations,
        finalizers: app.finalizers,
      },
      spec: {
        project: app.project ?? "default",
        source: {
          repoURL: app.repoURL,
          path: app.path,
          targetRevision: app.targetRevision ?? "main",
          directory: app.directory,
          ...app.source,
        },
        destination: {
          server: "https://kubernetes.default.svc",
          namespace: app.destinationNamespace ?? app.name,
        },
        syncPolicy: {
          automated: app.automated === false ? undefined : (app.automated ?? { prune: true, selfHeal: true }),
          syncOptions: app.syncOptions ?? ["CreateNamespace=true"],
        },
        ...app.spec,
      },
    };
  }

  async create(app: ApplicationSpec): Promise<void> {
    await this.#ok("POST", `${PATH}/${this.namespace}/applications`, this.object(app), "application/json");
  }

  async get(name: string): Promise<ApplicationObject> {
    return (await this.#ok("GET", `${PATH}/${this.namespace}/applications/${name}`)) as ApplicationObject;
  }

  async patch(name: string, patch: Record<string, unknown>): Promise<ApplicationObject> {
    return (await this.#ok(
      "PATCH",
      `${PATH}/${this.namespace}/applications/${name}`,
      patch,
      "application/merge-patch+json",
    )) as ApplicationObject;
  }

  async delete(name: string): Promise<void> {
    await this.#ok("DELETE", `${PATH}/${this.namespace}/applications/${name}`);
  }

  /** Waits until `check` holds for the Application; the error shows its last status. */
  async until(
    name: string,
    what: string,
    check: (app: ApplicationObject) => boolean,
    deadlineMs = 30_000,
  ): Promise<ApplicationObject> {
    let last: ApplicationObject | undefined;
    return await waitUntil(
      systemClock,
      `${name}: ${what}`,
      async () => {
        last = await this.get(name);
        return check(last) ? last : undefined;
      },
      { deadlineMs, intervalMs: 30 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${JSON.stringify(last?.status, null, 1)}`);
    });
  }

  synced(name: string, revision?: string, deadlineMs?: number): Promise<ApplicationObject> {
    return this.until(
      name,
      `Synced${revision ? ` to ${revision}` : ""}`,
      (app) =>
        app.status?.sync?.status === "Synced" && (revision === undefined || app.status.sync.revision === revision),
      deadlineMs,
    );
  }

  /** Waits for a condition that opens with this code. */
  condition(name: string, code: string, deadlineMs?: number): Promise<ApplicationObject> {
    return this.until(
      name,
      `condition [${code}]`,
      (app) => app.status?.conditions?.some((c) => c.message.startsWith(`[${code}]`)) ?? false,
      deadlineMs,
    );
  }

  async #ok(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: unknown,
    contentType?: string,
  ): Promise<unknown> {
    const outcome = await this.#client.request({
      method,
      path,
      ...(body === undefined ? {} : { body: JSON.stringify(body), contentType }),
    });
    if (outcome.kind === "error")
      throw new Error(`${method} ${path}: ${outcome.error.status} ${outcome.error.message}`);
    return outcome.object;
  }
}
