// From Argo CD's repository and repo-creds Secrets to the credentials for a URL (pure).
//
// As in Argo CD: a `repository` Secret of this very URL, one scoped to the Application's project before one without; if
// it holds no credentials, or there is none, the `repo-creds` Secret with the longest matching prefix. Different on
// purpose: a prefix must end inside the same scheme, host and port, so that credentials for https://github.com are never
// sent to https://github.com.example.org. A kind of credential that is not built yet is refused by name.
import type { Failure } from "@driftless/contracts/failure";
import type { Auth, HttpCredentials } from "./http.ts";

export type RepositorySecret = {
  name: string;
  type: "repository" | "repo-creds";
  /** Values decoded; `url` among them. */
  fields: Readonly<Record<string, string>>;
};

/** What argocd-tls-certs-cm and argocd-ssh-known-hosts-cm say of servers. */
export type Trusted = { tlsCertificates?: Readonly<Record<string, string>>; knownHosts?: string };

export type CredentialsFound =
  | { kind: "found"; credentials: HttpCredentials; secret: string | undefined }
  | { kind: "failed"; failure: Failure };

const secretTypeLabel = "argocd.argoproj.io/secret-type";

/** undefined for a Secret that is not about repositories, or that nothing can be read from. */
export function readRepositorySecret(secret: {
  metadata?: { name?: string; labels?: Record<string, string> };
  data?: Record<string, unknown>;
}): RepositorySecret | undefined {
  const type = secret.metadata?.labels?.[secretTypeLabel];
  if (type !== "repository" && type !== "repo-creds") return undefined;
  const fields: Record<string, string> = {};
  for (const [key, value] of Object.entries(secret.data ?? {}))
    if (typeof value === "string") fields[key] = Buffer.from(value, "base64").toString("utf8").trim();
  if (!fields["url"]) return undefined;
  return { name: secret.metadata?.name ?? "", type, fields };
}

export function credentialsFor(
  secrets: readonly RepositorySecret[],
  url: string,
  project?: string,
  trusted: Trusted = {},
): CredentialsFound {
  const wanted = normalUrl(url);
  const repositories = secrets.filter((s) => s.type === "repository" && same(normalUrl(s.fields["url"]!), wanted));
  const repository =
    (project === undefined ? undefined : repositories.find((s) => s.fields["project"] === project)) ??
    repositories.find((s) => !s.fields["project"]);
  const template = secrets
    .filter((s) => s.type === "repo-creds" && isPrefix(normalUrl(s.fields["url"]!), wanted))
    .sort((a, b) => b.fields["url"]!.length - a.fields["url"]!.length)[0];
  const chosen = repository && (holdsCredentials(repository) || !template) ? repository : template;

  for (const secret of new Set([repository, chosen]))
    if (secret) {
      const field = unsupportedField(secret.fields);
      if (field)
        return {
          kind: "failed",
          failure: {
            code: "UNSUPPORTED_FIELD",
            message: `secret/${secret.name}.${field} is not supported yet`,
            path: `secret/${secret.name}.${field}`,
          },
        };
    }

  const fields = chosen?.fields ?? {};
  const isTrue = (name: string) => repository?.fields[name] === "true" || fields[name] === "true";
  const ca = trusted.tlsCertificates?.[wanted?.hostname ?? ""];
  const isSsh = wanted?.protocol === "ssh:";
  return {
    kind: "found",
    secret: chosen?.name,
    credentials: {
      auth: authOf(fields),
      tls: {
        ...(ca === undefined ? {} : { ca }),
        ...(fields["tlsClientCertData"]
          ? { cert: fields["tlsClientCertData"], key: fields["tlsClientCertKey"] ?? "" }
          : {}),
        ...(isTrue("insecure") || isTrue("insecureIgnoreHostKey") ? { insecure: true } : {}),
      },
      ...(isSsh
        ? {
            ssh: {
              knownHosts: trusted.knownHosts ?? "",
              ...(fields["sshPrivateKey"] ? { privateKey: `${fields["sshPrivateKey"]}\n` } : {}),
              ...(isTrue("insecure") || isTrue("insecureIgnoreHostKey") ? { insecureHostKey: true } : {}),
            },
          }
        : {}),
      ...(isTrue("insecureOCIForceHttp") ? { plainHttp: true } : {}),
    },
  };
}

function authOf(fields: Readonly<Record<string, string>>): Auth {
  if (fields["githubAppPrivateKey"])
    return {
      kind: "githubApp",
      appId: fields["githubAppID"] ?? "",
      ...(fields["githubAppInstallationID"] ? { installationId: fields["githubAppInstallationID"] } : {}),
      privateKey: fields["githubAppPrivateKey"],
      apiUrl: fields["githubAppEnterpriseBaseUrl"] || "https://api.github.com",
    };
  if (fields["bearerToken"]) return { kind: "bearer", token: fields["bearerToken"] };
  if (fields["username"] || fields["password"])
    return { kind: "basic", username: fields["username"] || "x-access-token", password: fields["password"] ?? "" };
  return { kind: "none" };
}

/** The address behind `@name` or `alias:name`, as charts name the Helm repositories they depend on. */
export function urlOfName(secrets: readonly RepositorySecret[], name: string, project?: string): string | undefined {
  const named = secrets.filter((s) => s.type === "repository" && s.fields["name"] === name);
  const found = named.find((s) => project !== undefined && s.fields["project"] === project);
  return (found ?? named.find((s) => !s.fields["project"]))?.fields["url"];
}

const notBuilt = [
  "proxy",
  "gcpServiceAccountKey",
  "azureServicePrincipalClientId",
  "azureServicePrincipalClientID",
  "azureServicePrincipalClientSecret",
  "azureServicePrincipalTenantId",
  "azureServicePrincipalTenantID",
  "azureActiveDirectoryEndpoint",
];
const notBuiltIfTrue = ["enableLfs", "useAzureWorkloadIdentity"];
const kindsBuilt = ["git", "helm", "oci"];

function unsupportedField(fields: Readonly<Record<string, string>>): string | undefined {
  if (fields["type"] && !kindsBuilt.includes(fields["type"])) return "type";
  return notBuilt.find((name) => fields[name]) ?? notBuiltIfTrue.find((name) => fields[name] === "true");
}

function holdsCredentials(secret: RepositorySecret): boolean {
  const held = ["username", "password", "bearerToken", "tlsClientCertData", "sshPrivateKey", "githubAppPrivateKey"];
  const names = [...held, ...notBuilt.filter((n) => n !== "proxy")];
  return names.some((name) => secret.fields[name]) || secret.fields["useAzureWorkloadIdentity"] === "true";
}

function normalUrl(url: string): URL | null {
  const text = url.trim().toLowerCase();
  // user@host:path is ssh://user@host/path; Argo CD's OCI repositories have no scheme at all.
  const scp = /^(?:[^/@:]+@)([^/:]+):(?!\/\/)(.*)$/.exec(text);
  const parsed = URL.parse(scp ? `ssh://${scp[1]}/${scp[2]!.replace(/^\/+/, "")}` : withScheme(text));
  if (parsed) parsed.pathname = parsed.pathname.replace(/\/+$/, "").replace(/\.git$/, "");
  return parsed;
}

const withScheme = (url: string): string => (/^[a-z][a-z0-9+.-]*:\/\//.test(url) ? url : `oci://${url}`);

const same = (a: URL | null, b: URL | null): boolean => a !== null && b !== null && place(a) === place(b);
const isPrefix = (prefix: URL | null, url: URL | null): boolean =>
  prefix !== null &&
  url !== null &&
  prefix.host === url.host &&
  place(url).startsWith(place(prefix).replace(/\/$/, ""));
const place = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`;
