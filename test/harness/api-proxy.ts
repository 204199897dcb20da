// A proxy in front of the API server that writes down what passes: what a process really asked, whatever it meant to.
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { loadConfig } from "@driftless/kube/config";

export interface Passed {
  method: string;
  /** With its query. */
  url: string;
}

export interface ApiProxy extends AsyncDisposable {
  readonly passed: readonly Passed[];
}

/** Writes a kubeconfig that leads through it. */
export async function startApiProxy(options: { kubeconfigPath: string; through: string }): Promise<ApiProxy> {
  const loaded = await loadConfig({ kind: "kubeconfig", path: options.kubeconfigPath });
  if (loaded.kind === "error") throw new Error(loaded.error.message);
  const { server, ca, cert, key, token } = loaded.config;
  const passed: Passed[] = [];
  const authorization = token ? { authorization: `Bearer ${await token()}` } : {};
  const proxy = createServer((incoming: IncomingMessage, outgoing) => {
    const { method = "", url = "", headers } = incoming;
    passed.push({ method, url });
    const target = new URL(server);
    const upstream = httpsRequest(
      {
        host: target.hostname,
        port: target.port,
        path: url,
        method,
        ca,
        cert,
        key,
        headers: { ...headers, host: target.host, ...authorization },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        outgoing.flushHeaders();
        answer.pipe(outgoing);
      },
    );
    upstream.on("error", () => outgoing.destroy());
    outgoing.on("close", () => upstream.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as AddressInfo;
  const name = "proxied";
  await writeFile(
    options.through,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name, user: {} }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      "current-context": name,
    }),
  );
  return {
    passed,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => proxy.close(() => resolve()));
      proxy.closeAllConnections();
      await closed;
    },
  };
}
