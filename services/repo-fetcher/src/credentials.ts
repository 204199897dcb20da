// From Argo CD's repository and repo-creds Secrets to the credentials for a URL (pure).
//
// As in Argo CD: a `repository` Secret of this very URL, one scoped to the Application's project before one without; if
// it holds no credentials, or there is none, the `repo-creds` Secret with the longest matching prefix. Different on
// purpose: a prefix must end inside the same scheme, host and port, so that credentials for https://github.com are never
// sent to https://github.com.example.org. A kind of credential that is not built yet is refused by name.
import type { Failure } from "@driftless/contracts/failure";
import type { HttpCredentials } from "./http.ts";

export type RepositorySecret = {
  name: string;
  type: "repository" | "repo-creds";
  /** Values decoded; `url` among them. */
  fields: Readonly<Record<string, string>>;
};

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
  tlsCertificates: Readonly<Record<string, string>> = {},
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
  const ca = tlsCertificates[wanted?.hostname ?? ""];
  return {
    kind: "found",
    secret: chosen?.name,
    credentials: {
      auth: fields["bearerToken"]
        ? { kind: "bearer", token: fields["bearerToken"] }
        : fields["username"] || fields["password"]
          ? { kind: "basic", username: fields["username"] || "x-access-token", password: fields["password"] ?? "" }
          : { kind: "none" },
      tls: {
        ...(ca === undefined ? {} : { ca }),
        ...(fields["tlsClientCertData"]
          ? { cert: fields["tlsClientCertData"], key: fields["tlsClientCertKey"] ?? "" }
          : {}),
        ...(isTrue("insecure") || isTrue("insecureIgnoreHostKey") ? { insecure: true } : {}),
      },
    },
  };
}

const notBuilt = [
  "sshPrivateKey",
  "githubAppID",
  "githubAppInstallationID",
  "githubAppPrivateKey",
  "githubAppEnterpriseBaseUrl",
  "proxy",
  "gcpServiceAccountKey",
  "azureServicePrincipalClientId",
  "azureServicePrincipalClientID",
  "azureServicePrincipalClientSecret",
  "azureServicePrincipalTenantId",
  "azureServicePrincipalTenantID",
  "azureActiveDirectoryEndpoint",
];
const notBuiltIfTrue = ["enableLfs", "enableOCI", "insecureOCIForceHttp", "useAzureWorkloadIdentity"];

function unsupportedField(fields: Readonly<Record<string, string>>): string | undefined {
  if (fields["type"] && fields["type"] !== "git") return "type";
  return notBuilt.find((name) => fields[name]) ?? notBuiltIfTrue.find((name) => fields[name] === "true");
}

function holdsCredentials(secret: RepositorySecret): boolean {
  const names = ["username", "password", "bearerToken", "tlsClientCertData", ...notBuilt.filter((n) => n !== "proxy")];
  return names.some((name) => secret.fields[name]) || secret.fields["useAzureWorkloadIdentity"] === "true";
}

function normalUrl(url: string): URL | null {
  const parsed = URL.parse(url.trim().toLowerCase());
  if (parsed) parsed.pathname = parsed.pathname.replace(/\/+$/, "").replace(/\.git$/, "");
  return parsed;
}

const same = (a: URL | null, b: URL | null): boolean => a !== null && b !== null && place(a) === place(b);
const isPrefix = (prefix: URL | null, url: URL | null): boolean =>
  prefix !== null &&
  url !== null &&
  prefix.host === url.host &&
  place(url).startsWith(place(prefix).replace(/\/$/, ""));
const place = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`;
