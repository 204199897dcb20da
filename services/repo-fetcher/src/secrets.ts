// Repository credentials as Argo CD keeps them (edge): its repository and repo-creds Secrets and the ConfigMaps of TLS
// certificates and SSH host keys, watched; only repo-fetcher reads them.
import type { Clusters } from "@driftless/kube/clusters";
import type { ApiResource } from "@driftless/kube/resource";
import { watchResource } from "@driftless/kube/watch";
import {
  type CredentialsFound,
  credentialsFor,
  readRepositorySecret,
  type RepositorySecret,
  urlOfName,
} from "./credentials.ts";

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
  urlOfName(name: string, project: string): string | undefined;
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
  let knownHosts = "";

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
  const watchConfigMap = (name: string, set: (data: Record<string, string>) => void) =>
    watchResource<Record<string, string>>({
      client,
      resource: core("ConfigMap", "configmaps"),
      namespace: options.namespace,
      fieldSelector: `metadata.name=${name}`,
      select: (object) => (object["data"] as Record<string, string> | undefined) ?? {},
      onState({ objects }) {
        set(objects[0] ?? {});
        options.onChange();
      },
      onEvent({ type, object }) {
        set(type === "DELETED" ? {} : object);
        options.onChange();
      },
    });
  const watchCertificates = watchConfigMap("argocd-tls-certs-cm", (data) => (certificates = data));
  const watchKnownHosts = watchConfigMap(
    "argocd-ssh-known-hosts-cm",
    (data) => (knownHosts = data["ssh_known_hosts"] ?? ""),
  );

  return {
    synced: Promise.all([watchSecrets.synced, watchCertificates.synced, watchKnownHosts.synced]),
    credentialsFor: (url, project) =>
      credentialsFor([...secrets.values()], url, project, { tlsCertificates: certificates, knownHosts }),
    urlOfName: (name, project) => urlOfName([...secrets.values()], name, project),
    stop() {
      watchSecrets.stop();
      watchCertificates.stop();
      watchKnownHosts.stop();
    },
  };
}
