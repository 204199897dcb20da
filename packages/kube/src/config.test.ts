import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "./config.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-kubeconfig-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const base64 = (text: string) => Buffer.from(text).toString("base64");

async function load(kubeconfig: string, context?: string) {
  const file = path.join(folder, "config");
  await writeFile(file, kubeconfig);
  return loadConfig({ kind: "kubeconfig", path: file, context });
}

const kubeconfig = (user: string) => `
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: n}}
- {name: two, context: {cluster: d, user: u}}
clusters:
- {name: c, cluster: {server: "https://c.example/", certificate-authority-data: ${base64("CA")}}}
- {name: d, cluster: {server: "https://d.example", certificate-authority: ca.pem}}
users:
- name: u
  user: ${user}
`;

test("certificates, tokens and files of a kubeconfig, by its current context or another", async () => {
  await writeFile(path.join(folder, "ca.pem"), "CA2");
  await writeFile(path.join(folder, "token"), "from-file\n");
  const certificates = await load(
    kubeconfig(`{client-certificate-data: ${base64("CERT")}, client-key-data: ${base64("KEY")}}`),
  );
  expect(certificates).toEqual({
    kind: "ok",
    config: { server: "https://c.example", ca: "CA", cert: "CERT", key: "KEY", namespace: "n" },
  });
  const token = await load(kubeconfig("{tokenFile: token}"), "two");
  expect(token).toMatchObject({ kind: "ok", config: { server: "https://d.example", ca: "CA2" } });
  expect(token.kind === "ok" && (await token.config.token!())).toBe("from-file");
});

test("a credential plugin is run by the client library and its token used", async () => {
  const credential = JSON.stringify({
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    status: { token: "by-plugin" },
  });
  const plugin = path.join(folder, "plugin.sh");
  await writeFile(plugin, `#!/bin/sh\necho '${credential}'\n`, { mode: 0o755 });
  const exec = `{exec: {apiVersion: client.authentication.k8s.io/v1, command: ${plugin}, interactiveMode: Never}}`;
  const loaded = await load(kubeconfig(exec));
  expect(loaded.kind === "ok" && (await loaded.config.token!())).toBe("by-plugin");
});

test.each([
  ["no file", undefined],
  ["no YAML", "{"],
  ["no context", "clusters: []"],
  ["no server", "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]"],
])("%s is told, and the content is not", async (_what, content) => {
  const loaded =
    content === undefined
      ? await loadConfig({ kind: "kubeconfig", path: path.join(folder, "absent") })
      : await load(`# CANARY\n${content}`);
  expect(loaded).toMatchObject({ kind: "error", error: { code: "CONFIG_INVALID" } });
  expect(loaded.kind === "error" && loaded.error.message).not.toContain("CANARY");
});

const secret = (config: object, server = "https://k.example/") =>
  loadConfig({ kind: "cluster-secret", server, config: JSON.stringify(config) });

test("the fields of a cluster Secret", async () => {
  const loaded = await secret({
    bearerToken: "b",
    tlsClientConfig: {
      caData: base64("CA"),
      certData: base64("C"),
      keyData: base64("K"),
      serverName: "s",
      insecure: false,
    },
  });
  expect(loaded).toMatchObject({
    kind: "ok",
    config: { server: "https://k.example", ca: "CA", cert: "C", key: "K", serverName: "s" },
  });
  expect(loaded.kind === "ok" && (await loaded.config.token!())).toBe("b");
  expect(await secret({ username: "u", password: "p" })).toMatchObject({
    kind: "ok",
    config: { username: "u", password: "p" },
  });
});

test.each(["awsAuthConfig", "execProviderConfig", "proxyUrl"])(
  "%s of a cluster Secret is refused by name",
  async (field) => {
    expect(await secret({ [field]: { command: "/bin/sh" } })).toMatchObject({
      kind: "error",
      error: { code: "UNSUPPORTED_FIELD", message: expect.stringContaining(`config.${field}`) },
    });
  },
);

test("a cluster Secret can name no file and no other scheme, and its text is not repeated", async () => {
  expect(await secret({}, "file:///etc/passwd")).toMatchObject({ kind: "error", error: { code: "CONFIG_INVALID" } });
  const broken = await loadConfig({ kind: "cluster-secret", server: "https://k", config: "{CANARY" });
  expect(broken).toMatchObject({ kind: "error", error: { code: "CONFIG_INVALID" } });
  expect(broken.kind === "error" && broken.error.message).not.toContain("CANARY");
});
