// Cluster configuration (edge): where an API server is and how to be let in. Files are read only where the operator
// named them; what comes from a tenant's Secret is taken field by field and can name no file and run no program.
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Clock, systemClock } from "@driftless/process/clock";
import { kubeError, type KubeError } from "./outcome.ts";

export type ConfigSource =
  /** A kubeconfig FILE that the operator named; never the ambient KUBECONFIG. */
  | { kind: "kubeconfig"; path: string; context?: string }
  | { kind: "in-cluster" }
  /** Fields of an Argo CD cluster Secret, already base64-decoded; `config` is its JSON text. */
  | { kind: "cluster-secret"; server: string; config: string };

export interface ClusterConfig {
  server: string;
  ca?: string;
  cert?: string;
  key?: string;
  serverName?: string;
  insecureSkipVerify?: boolean;
  username?: string;
  password?: string;
  /** Asked for each request, because tokens of exec plugins and projected files expire. */
  token?: () => Promise<string>;
  /** Default namespace of the kubeconfig's context. */
  namespace?: string;
}

export type ConfigOutcome = { kind: "ok"; config: ClusterConfig } | { kind: "error"; error: KubeError };

export async function loadConfig(source: ConfigSource, clock: Clock = systemClock): Promise<ConfigOutcome> {
  try {
    switch (source.kind) {
      case "kubeconfig":
        return await fromKubeconfig(source.path, source.context, clock);
      case "in-cluster":
        return await fromServiceAccount(clock);
      case "cluster-secret":
        return fromClusterSecret(source.server, source.config);
    }
  } catch (cause) {
    const what = source.kind === "kubeconfig" ? `the kubeconfig ${source.path}` : `the ${source.kind} configuration`;
    // The cause's text may quote the file; only what kind of error it was is told.
    const code = (cause as { code?: unknown }).code;
    return invalid(`${what} cannot be read${typeof code === "string" ? `: ${code}` : ""}`, cause);
  }
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

async function fromServiceAccount(clock: Clock): Promise<ConfigOutcome> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!host || !port) return invalid("not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set");
  const config: ClusterConfig = {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: await readFile(`${SERVICE_ACCOUNT}/ca.crt`, "utf8"),
    token: fileToken(`${SERVICE_ACCOUNT}/token`, clock),
    namespace: (await readFile(`${SERVICE_ACCOUNT}/namespace`, "utf8")).trim(),
  };
  return { kind: "ok", config };
}

const TOKEN_MAX_AGE_MS = 60_000;

/** Kubelet renews projected tokens; they are read again once a minute. */
function fileToken(path: string, clock: Clock): () => Promise<string> {
  let token: string | undefined;
  let readAtMs = 0;
  return async () => {
    if (token === undefined || clock.monotonic() - readAtMs > TOKEN_MAX_AGE_MS) {
      token = (await readFile(path, "utf8")).trim();
      readAtMs = clock.monotonic();
    }
    return token;
  };
}

type Fields = Record<string, unknown>;

function fromClusterSecret(server: string, text: string): ConfigOutcome {
  const given = (text.trim() === "" ? {} : JSON.parse(text)) as Fields;
  for (const field of ["awsAuthConfig", "execProviderConfig", "proxyUrl"]) {
    if (given[field]) {
      const message = `UNSUPPORTED_FIELD config.${field}: use bearerToken, tlsClientConfig or username and password`;
      return { kind: "error", error: kubeError("UNSUPPORTED_FIELD", message) };
    }
  }
  if (!/^https?:\/\//.test(server)) return invalid("the cluster's server is not an http or https URL");
  const tls = (given["tlsClientConfig"] ?? {}) as Fields;
  const bearer = textOf(given["bearerToken"]);
  return {
    kind: "ok",
    config: compact({
      server: server.replace(/\/+$/, ""),
      ca: decoded(tls["caData"]),
      cert: decoded(tls["certData"]),
      key: decoded(tls["keyData"]),
      serverName: textOf(tls["serverName"]),
      insecureSkipVerify: tls["insecure"] === true ? true : undefined,
      username: textOf(given["username"]),
      password: textOf(given["password"]),
      token: bearer === undefined ? undefined : () => Promise.resolve(bearer),
    }),
  };
}

async function fromKubeconfig(path: string, wanted: string | undefined, clock: Clock): Promise<ConfigOutcome> {
  const { parse } = await import("yaml");
  const document = parse(await readFile(path, "utf8")) as Fields;
  const contextName = wanted ?? textOf(document["current-context"]);
  const context = named(document["contexts"], contextName, "context");
  const cluster = named(document["clusters"], textOf(context?.["cluster"]), "cluster");
  if (!context || !cluster) return invalid(`the kubeconfig ${path} has no context ${contextName ?? "(current)"}`);
  const user = named(document["users"], textOf(context["user"]), "user") ?? {};
  const server = textOf(cluster["server"]);
  if (!server) return invalid(`the kubeconfig ${path} names no server`);
  if (cluster["proxy-url"]) return invalid(`proxy-url in the kubeconfig ${path} is not supported`);
  if (user["exec"] || user["auth-provider"]) return await withPlugin(path, contextName!, server, cluster);

  const folder = dirname(path);
  const data = async (fields: Fields, name: string) => {
    const inline = decoded(fields[`${name}-data`]);
    const file = textOf(fields[name]);
    return inline ?? (file === undefined ? undefined : await readFile(resolve(folder, file), "utf8"));
  };
  const tokenFile = textOf(user["tokenFile"]);
  const token = textOf(user["token"]);
  return {
    kind: "ok",
    config: compact({
      server: server.replace(/\/+$/, ""),
      ca: await data(cluster, "certificate-authority"),
      cert: await data(user, "client-certificate"),
      key: await data(user, "client-key"),
      serverName: textOf(cluster["tls-server-name"]),
      insecureSkipVerify: cluster["insecure-skip-tls-verify"] === true ? true : undefined,
      username: textOf(user["username"]),
      password: textOf(user["password"]),
      token: tokenFile
        ? fileToken(resolve(folder, tokenFile), clock)
        : token === undefined
          ? undefined
          : () => Promise.resolve(token),
      namespace: textOf(context["namespace"]),
    }),
  };
}

/** Credential plugins are the client library's; it costs 132 MB, so only those who need it pay. */
async function withPlugin(path: string, context: string, server: string, cluster: Fields): Promise<ConfigOutcome> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const kubeconfig = new KubeConfig();
  kubeconfig.loadFromFile(path);
  kubeconfig.setCurrentContext(context);
  type Pem = string | Buffer | undefined;
  const ask = async () => {
    const options: { ca?: Pem; cert?: Pem; key?: Pem; headers: Record<string, string> } = { headers: {} };
    await kubeconfig.applyToHTTPSOptions(options as Parameters<typeof kubeconfig.applyToHTTPSOptions>[0]);
    return options;
  };
  const first = await ask();
  const pem = (value: Pem) => (typeof value === "string" ? value : value?.toString("utf8"));
  const bearer = (headers: Record<string, string>) => {
    const header = Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization")?.[1] ?? "";
    return header.replace(/^Bearer /i, "");
  };
  const hasToken = bearer(first.headers) !== "";
  return {
    kind: "ok",
    config: compact({
      server: server.replace(/\/+$/, ""),
      ca: pem(first.ca),
      cert: pem(first.cert),
      key: pem(first.key),
      serverName: textOf(cluster["tls-server-name"]),
      insecureSkipVerify: cluster["insecure-skip-tls-verify"] === true ? true : undefined,
      token: hasToken ? async () => bearer((await ask()).headers) : undefined,
    }),
  };
}

function named(list: unknown, name: string | undefined, member: string): Fields | undefined {
  if (!Array.isArray(list) || name === undefined) return undefined;
  const entry = (list as Fields[]).find((each) => each["name"] === name);
  return entry?.[member] as Fields | undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function decoded(value: unknown): string | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : Buffer.from(text, "base64").toString("utf8");
}

function compact(config: ClusterConfig): ClusterConfig {
  return Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined),
  ) as unknown as ClusterConfig;
}

function invalid(message: string, cause?: unknown): ConfigOutcome {
  return { kind: "error", error: kubeError("CONFIG_INVALID", message, cause === undefined ? {} : { cause }) };
}
