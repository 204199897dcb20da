import { expect, test } from "vitest";
import { credentialsFor, readRepositorySecret, urlOfName } from "./credentials.ts";
import type { RepositorySecret } from "./credentials.ts";

const secret = (name: string, type: RepositorySecret["type"], fields: Record<string, string>): RepositorySecret => ({
  name,
  type,
  fields,
});
const found = (secrets: RepositorySecret[], url: string, project?: string) => {
  const result = credentialsFor(secrets, url, project);
  if (result.kind === "failed") return result.failure.message;
  return `${result.secret ?? "-"} ${JSON.stringify(result.credentials.auth)}`;
};

test("a repository's own Secret goes before a template, the project's before one for all", () => {
  const secrets = [
    secret("template", "repo-creds", { url: "https://git.example.com/team", password: "t" }),
    secret("long", "repo-creds", { url: "https://git.example.com/team/sub", password: "l" }),
    secret("all", "repository", { url: "https://git.example.com/team/app.git", username: "u", password: "a" }),
    secret("mine", "repository", { url: "https://git.example.com/team/app", project: "p", bearerToken: "m" }),
    secret("bare", "repository", { url: "https://git.example.com/team/bare" }),
  ];
  expect(found(secrets, "https://Git.example.com/Team/app/", "p")).toBe('mine {"kind":"bearer","token":"m"}');
  expect(found(secrets, "https://git.example.com/team/app", "q")).toContain('all {"kind":"basic","username":"u"');
  expect(found(secrets, "https://git.example.com/team/bare")).toContain("template ");
  expect(found(secrets, "https://git.example.com/team/sub/x")).toContain(
    'long {"kind":"basic","username":"x-access-token"',
  );
  expect(found(secrets, "https://git.example.com/other/x")).toBe('- {"kind":"none"}');
});

test("credentials never go to another host, port or scheme than their prefix names", () => {
  const secrets = [secret("t", "repo-creds", { url: "https://github.com", password: "x" })];
  for (const url of ["https://github.com.evil.example/a", "http://github.com/a", "https://github.com:8443/a"])
    expect(found(secrets, url)).toBe('- {"kind":"none"}');
  expect(found(secrets, "https://github.com/a")).toContain("t ");
});

test("a kind of credential that is not built is refused by name, and only where it would be used", () => {
  const url = "https://h/r";
  for (const [field, value] of [
    ["proxy", "http://p"],
    ["enableLfs", "true"],
    ["type", "svn"],
    ["useAzureWorkloadIdentity", "true"],
  ] as const) {
    expect(found([secret("s", "repository", { url, [field]: value })], url)).toBe(
      `secret/s.${field} is not supported yet`,
    );
    expect(found([secret("s", "repository", { url, [field]: value })], "https://h/other")).toContain("- ");
  }
  expect(found([secret("s", "repository", { url, enableLfs: "false", type: "git" })], url)).toContain("s ");
});

test("TLS settings come along: client certificate, insecure, and the host's CA", () => {
  const result = credentialsFor(
    [
      secret("s", "repository", {
        url: "https://h/r",
        tlsClientCertData: "C",
        tlsClientCertKey: "K",
        insecure: "true",
      }),
    ],
    "https://h/r",
    undefined,
    { tlsCertificates: { h: "PEM" } },
  );
  expect(result).toMatchObject({ credentials: { tls: { ca: "PEM", cert: "C", key: "K", insecure: true } } });
});

test("an SSH key is found by every spelling of the repository, together with the known hosts", () => {
  const secrets = [secret("k", "repository", { url: "git@h:team/app.git", sshPrivateKey: "KEY" })];
  for (const url of ["git@h:team/app", "ssh://git@h/team/app.git", "ssh://other@H/team/app"])
    expect(credentialsFor(secrets, url, undefined, { knownHosts: "LINES" })).toMatchObject({
      secret: "k",
      credentials: { auth: { kind: "none" }, ssh: { privateKey: "KEY\n", knownHosts: "LINES" } },
    });
  expect(credentialsFor(secrets, "git@h2:team/app")).toMatchObject({ secret: undefined });
  expect(credentialsFor([], "https://h/r")).not.toHaveProperty("credentials.ssh");
});

test("a GitHub App's key goes to GitHub's API, or to the enterprise's when it is named", () => {
  const app = { githubAppID: "1", githubAppInstallationID: "2", githubAppPrivateKey: "P" };
  const auth = (fields: Record<string, string>) =>
    credentialsFor([secret("g", "repo-creds", { url: "https://h", ...fields })], "https://h/r");
  expect(auth(app)).toMatchObject({
    credentials: { auth: { kind: "githubApp", appId: "1", installationId: "2", apiUrl: "https://api.github.com" } },
  });
  expect(auth({ ...app, githubAppEnterpriseBaseUrl: "https://h/api/v3" })).toMatchObject({
    credentials: { auth: { apiUrl: "https://h/api/v3" } },
  });
});

test("a registry is found with and without its scheme, and a Helm repository by its name", () => {
  const secrets = [
    secret("r", "repository", { url: "h.example.com/charts", enableOCI: "true", type: "helm", password: "p" }),
    secret("n", "repository", { url: "https://charts.example.com", name: "stable", type: "helm" }),
    secret("mine", "repository", { url: "https://mine.example.com", name: "stable", type: "helm", project: "p" }),
  ];
  expect(found(secrets, "oci://h.example.com/charts")).toContain("r ");
  expect(found(secrets, "h.example.com/charts")).toContain("r ");
  expect(urlOfName(secrets, "stable")).toBe("https://charts.example.com");
  expect(urlOfName(secrets, "stable", "p")).toBe("https://mine.example.com");
  expect(urlOfName(secrets, "none")).toBeUndefined();
});

test("a malformed Secret is passed over, never thrown about", () => {
  const labels = { "argocd.argoproj.io/secret-type": "repository" };
  const url = Buffer.from("https://h/r\n").toString("base64");
  expect(readRepositorySecret({ metadata: { name: "s", labels }, data: { url } })?.fields["url"]).toBe("https://h/r");
  for (const odd of [{}, { metadata: { labels } }, { metadata: { labels }, data: { url: 7 } }, { data: { url } }])
    expect(readRepositorySecret(odd)).toBeUndefined();
  expect(found([secret("s", "repository", { url: "::" })], "https://h/r")).toContain("- ");
});
