// Repository credentials as Argo CD keeps them (edge): its repository and repo-creds Secrets and the ConfigMap of TLS
// certificates, watched; only repo-fetcher reads them.
import type { Clusters } from "@driftless/kube/clusters";
import type { ApiResource } from "@driftless/kube/resource";
import { watchResource } from "@driftless/kube/watch";
import { type CredentialsFound, credentialsFor, readRepositorySecret, type RepositorySecret } from "./credentials.ts";

const core = (kind: string, plural: string): ApiResource => ({
  group: "",
  version: "v1",
  kind,
  plural,
  namespaced: true,
  verbs: ["list", "watch"],
  versions: ["v1"],
});

export interface RepositorySecrets {
  readonly synced: Promise<unknown>;
  credentialsFor(url: string, project: string): CredentialsFound;
  stop(): void;
}

export function watchRepositorySecrets(options: {
  clusters: Clusters;
  namespace: string;
  onChange: () => void;
}): RepositorySecrets {
  const { client } = options.clusters.controlPlane;
  const secrets = new Map<string, RepositorySecret>();
  let certificates: Record<string, string> = {};

  const watchSecrets = watchResource<{ name: string; secret: RepositorySecret | undefined }>({
    client,
    resource: core("Secret", "secrets"),
    namespace: options.namespace,
    labelSelector: "argocd.argoproj.io/secret-type in (repository, repo-creds)",
    select: (object) => ({ name: object.metadata.name, secret: readRepositorySecret(object as never) }),
    onState({ objects }) {
      secrets.clear();
      for (const { name, secret } of objects) if (secret) secrets.set(name, secret);
      options.onChange();
    },
    onEvent({ type, object: { name, secret } }) {
      if (type === "DELETED" || !secret) secrets.delete(name);
      else secrets.set(name, secret);
      options.onChange();
    },
  });
  const watchCertificates = watchResource<Record<string, string>>({
    client,
    resource: core("ConfigMap", "configmaps"),
    namespace: options.namespace,
    fieldSelector: "metadata.name=argocd-tls-certs-cm",
    select: (object) => (object["data"] as Record<string, string> | undefined) ?? {},
    onState({ objects }) {
      certificates = objects[0] ?? {};
      options.onChange();
    },
    onEvent({ type, object }) {
      certificates = type === "DELETED" ? {} : object;
      options.onChange();
    },
  });

  return {
    synced: Promise.all([watchSecrets.synced, watchCertificates.synced]),
    credentialsFor: (url, project) => credentialsFor([...secrets.values()], url, project, certificates),
    stop() {
      watchSecrets.stop();
      watchCertificates.stop();
    },
  };
}
