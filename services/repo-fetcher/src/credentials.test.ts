import { expect, test } from "vitest";
import { credentialsFor, readRepositorySecret } from "./credentials.ts";
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
    ["sshPrivateKey", "k"],
    ["githubAppID", "1"],
    ["proxy", "http://p"],
    ["enableLfs", "true"],
    ["enableOCI", "true"],
    ["type", "helm"],
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
    { h: "PEM" },
  );
  expect(result).toMatchObject({ credentials: { tls: { ca: "PEM", cert: "C", key: "K", insecure: true } } });
});

test("a malformed Secret is passed over, never thrown about", () => {
  const labels = { "argocd.argoproj.io/secret-type": "repository" };
  const url = Buffer.from("https://h/r\n").toString("base64");
  expect(readRepositorySecret({ metadata: { name: "s", labels }, data: { url } })?.fields["url"]).toBe("https://h/r");
  for (const odd of [{}, { metadata: { labels } }, { metadata: { labels }, data: { url: 7 } }, { data: { url } }])
    expect(readRepositorySecret(odd)).toBeUndefined();
  expect(found([secret("s", "repository", { url: "::" })], "https://h/r")).toContain("- ");
});
