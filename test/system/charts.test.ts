// Charts from a Helm repository and from an OCI registry, alone, as dependencies and together with files from Git; and
// the same from servers that misbehave.
import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { ChartWanted, RefSource, SourceRef } from "@driftless/contracts/pipeline/2-fetch";
import { repositoryHash } from "@driftless/contracts/repository";
import { buildGo } from "@driftless/local/build";
import { startGitServer } from "@driftless/local/git-server";
import type { GitServer } from "@driftless/local/git-server";
import { BundleFiles, decodeBundle, encodeBundle } from "@driftless/manifests/bundle";
import { fileInput } from "@driftless/manifests/inputs";
import { systemClock } from "@driftless/process/clock";
import { ChartRepository } from "@driftless/repo-fetcher/charts";
import { credentialsFor, type RepositorySecret, urlOfName } from "@driftless/repo-fetcher/credentials";
import { contentless, fetchSource, type SourceQuestion, watchSource } from "@driftless/repo-fetcher/fetch-source";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import { HelmRepository } from "@driftless/repo-fetcher/helm-repository";
import type { HttpCredentials } from "@driftless/repo-fetcher/http";
import { OciRegistry } from "@driftless/repo-fetcher/oci-registry";
import { Owners } from "@driftless/repo-fetcher/owners";
import type { MatchConstraint } from "@driftless/repo-fetcher/revision";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { pack } from "tar-stream";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";

const cause = { kind: "user" as const, at: "2026-01-01T00:00:00Z" };
const closing: (() => unknown)[] = [];
const ending: (() => unknown)[] = [];
let registry: string;
let git: GitServer;

beforeAll(async () => {
  const { binDir } = await buildGo({
    moduleDir: join(import.meta.dirname, "../oci-registry"),
    outputs: [{ pkg: ".", name: "oci-registry" }],
    what: "the OCI registry",
  });
  const child = spawn(join(binDir, "oci-registry"), { stdio: ["pipe", "pipe", "inherit"] });
  ending.push(() => child.stdin.end());
  const [address] = (await once(child.stdout, "data")) as [Buffer];
  registry = address.toString().trim();
  const dir = await mkdtemp(join(tmpdir(), "driftless-charts-"));
  git = await startGitServer({ dir, port: 0 });
  ending.push(async () => {
    await git.stop();
    await rm(dir, { recursive: true, force: true });
  });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  for (const end of ending.reverse()) await end();
});

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

async function chart(name: string, version: string, extra: Record<string, string> = {}): Promise<Buffer> {
  const tar = pack();
  const files = { "Chart.yaml": `apiVersion: v2\nname: ${name}\nversion: ${version}\n`, ...extra };
  for (const [path, text] of Object.entries(files)) tar.entry({ name: `${name}/${path}` }, text);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;
async function serve(handler: Handler): Promise<{ url: string; server: Server; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, seen };
}

/** A Helm repository of files; the index is made of the archives, as `helm repo index` does. */
async function helmRepository() {
  const files = new Map<string, Buffer | string>();
  const versions: { name: string; version: string; digest?: string; url?: string }[] = [];
  let etag = 0;
  const put = async (name: string, version: string, extra: Record<string, string> = {}, more: object = {}) => {
    const bytes = await chart(name, version, extra);
    files.set(`/${name}-${version}.tgz`, bytes);
    const old = versions.findIndex((v) => v.name === name && v.version === version);
    if (old >= 0) versions.splice(old, 1);
    versions.push({ name, version, digest: sha256(bytes), ...more });
    etag += 1;
    return bytes;
  };
  const index = () => {
    const names = [...new Set(versions.map(({ name }) => name))];
    const entries = names.map((name) => {
      const list = versions.filter((v) => v.name === name);
      const lines = list.map(
        (v) =>
          `  - apiVersion: v2\n    name: ${name}\n    version: ${v.version}\n    created: "2026-01-01T00:00:00Z"\n` +
          `${v.digest ? `    digest: ${v.digest}\n` : ""}    urls:\n    - ${v.url ?? `${name}-${v.version}.tgz`}\n`,
      );
      return `  ${name}:\n${lines.join("")}`;
    });
    return `apiVersion: v1\nentries:\n${entries.join("")}generated: "2026-01-01T00:00:00Z"\n`;
  };
  const state = { sent: 0, unchanged: 0, downloads: 0 };
  const { url, seen } = await serve((request, response) => {
    const path = request.url!.replace(/^\/repo/, "");
    if (path === "/index.yaml") {
      response.setHeader("etag", `"${etag}"`);
      if (request.headers["if-none-match"] === `"${etag}"`) {
        state.unchanged += 1;
        response.statusCode = 304;
        return response.end();
      }
      state.sent += 1;
      return response.end(index());
    }
    const file = files.get(path);
    if (file === undefined) response.statusCode = 404;
    else state.downloads += 1;
    return response.end(file);
  });
  return { url: `${url}/repo`, seen, put, files, state };
}

/** As `helm push` does. */
async function push(name: string, tag: string, bytes: Buffer, base = `http://${registry}`) {
  const blob = async (content: Buffer) => {
    const digest = `sha256:${sha256(content)}`;
    const started = await fetch(`${base}/v2/${name}/blobs/uploads/`, { method: "POST" });
    const place = new URL(started.headers.get("location")!, base);
    place.searchParams.set("digest", digest);
    const put = await fetch(place, { method: "PUT", body: new Uint8Array(content) });
    expect(put.status).toBe(201);
    return { digest, size: content.byteLength };
  };
  const config = { mediaType: "application/vnd.cncf.helm.config.v1+json", ...(await blob(Buffer.from("{}"))) };
  const layer = { mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", ...(await blob(bytes)) };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] }));
  const put = await fetch(`${base}/v2/${name}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": mediaType },
    body: new Uint8Array(manifest),
  });
  expect(put.status).toBe(201);
  return { manifest: `sha256:${sha256(manifest)}`, layer: layer.digest };
}

const matchConstraint = (constraint: string, versions: readonly string[]) => {
  const start = constraint.replace(/[*x].*$/, "").replace(/^\^(\d+).*/, "$1.");
  return versions
    .filter((v) => v.startsWith(start))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
};

function own(origin: HelmRepository | OciRegistry, pollMs = 0) {
  const told = {
    changed: [] as { ids: string[]; revision: string | undefined; observation: number }[],
    moved: [] as unknown[],
    failed: [] as string[],
    polls: 0,
  };
  const repository = new ChartRepository({
    origin,
    clock: systemClock,
    matchConstraint,
    pollMs,
    pollJitterMs: 0,
    events: {
      onPolled(look) {
        told.polls += 1;
        told.moved.push(...look.moved);
      },
      onSourcesChanged: (change) => told.changed.push(change),
      onSourcesUnchanged() {},
      onFailed: (failed) => told.failed.push(failed.code),
    },
  });
  closing.push(() => repository.close());
  return { repository, told };
}
const helm = (url: string, credentials?: HttpCredentials, more = {}) =>
  new HelmRepository({ url, credentials, clock: systemClock, ...more });
const oci = (url: string, credentials: HttpCredentials = { auth: { kind: "none" } }) =>
  new OciRegistry({ url, credentials: { plainHttp: true, ...credentials }, clock: systemClock });
const basic: HttpCredentials = { auth: { kind: "basic", username: "u", password: "CANARY" } };

function value<T>(result: Outcome<T>): T {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
}
const told = (result: Outcome<unknown>) =>
  result.kind === "ok" ? "ok" : `${result.failure.code} ${result.failure.message}`;

/** From version or constraint to the chart's files. */
async function got(repository: ChartRepository, name: string, version: string, passCredentials = false) {
  const found = await repository.resolve(name, version, "latest", cause);
  if (found.kind === "failed") return told(found);
  const made = await repository.bundle(name, found.value, { passCredentials });
  if (made.kind === "failed") return told(made);
  return `${found.value.version} ${[...made.value.bundle.entries.keys()].sort().join(" ")}`;
}

describe("a Helm repository", () => {
  test("versions, constraints and partial versions lead to a chart's files, and an unchanged index is not sent again", async () => {
    const place = await helmRepository();
    await place.put("web", "1.2.3", { "values.yaml": "a: 1" });
    await place.put("web", "1.10.0");
    await place.put("web", "2.0.0");
    const { repository } = own(helm(place.url));
    expect(await got(repository, "web", "1.2.3")).toBe("1.2.3 Chart.yaml values.yaml");
    expect(await got(repository, "web", "v1.2.3")).toBe("1.2.3 Chart.yaml values.yaml");
    expect(await got(repository, "web", "^1.0.0")).toBe("1.10.0 Chart.yaml");
    expect(await got(repository, "web", "1.2")).toBe("1.2.3 Chart.yaml values.yaml");
    expect(await got(repository, "web", "")).toBe("2.0.0 Chart.yaml");
    expect(place.state).toMatchObject({ sent: 1, unchanged: 4, downloads: 3 });
    expect(await got(repository, "web", "9.0.0")).toMatch(/^CHART_NOT_FOUND no version "9.0.0" of web/);
    expect(await got(repository, "none", "1.*")).toMatch(/^CHART_NOT_FOUND there is no chart none/);
  });

  test("many who ask at once share one question and one download", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0");
    const { repository } = own(helm(place.url));
    await Promise.all(Array.from({ length: 50 }, () => got(repository, "web", "1.*")));
    expect(place.state.sent + place.state.unchanged).toBe(1);
    expect(place.state.downloads).toBe(1);
  });

  test("sources are told when their constraint leads elsewhere, or their version to other content; others are not", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0");
    await place.put("other", "1.0.0");
    const { repository, told: facts } = own(helm(place.url));
    const first = value(await repository.resolve("web", "1.*", "latest", cause));
    const { digest } = value(await repository.bundle("web", first));
    repository.watch({ id: "range", chart: "web", targetRevision: "1.*", revision: "1.0.0", digest }, cause);
    repository.watch({ id: "pinned", chart: "web", targetRevision: "1.0.0", revision: "1.0.0", digest }, cause);
    repository.watch({ id: "other", chart: "other", targetRevision: "*", revision: "1.0.0" }, cause);
    value(await repository.nudge(cause));
    expect(facts.changed).toEqual([]);
    await place.put("web", "1.1.0");
    value(await repository.nudge(cause));
    expect(facts.changed).toMatchObject([{ ids: ["range"], revision: "1.1.0" }]);
    expect(facts.moved).toEqual([{ ref: "web 1.*", from: "1.0.0", to: "1.1.0" }]);
    await place.put("web", "1.0.0", { "values.yaml": "other: content" });
    value(await repository.nudge(cause));
    expect(facts.changed.slice(1)).toMatchObject([{ ids: ["pinned"], revision: "1.0.0" }]);
    expect(facts.changed[1]!.observation).toBeGreaterThan(facts.changed[0]!.observation);
    repository.forget("range");
    await place.put("web", "1.2.0");
    value(await repository.nudge(cause));
    expect(facts.changed).toHaveLength(2);
  });

  test("it is polled by itself, and a failed look changes nothing", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0");
    const { repository, told: facts } = own(helm(place.url), 30);
    repository.watch({ id: "a", chart: "web", targetRevision: "1.*", revision: "1.0.0" }, cause);
    await vi.waitFor(() => expect(facts.polls).toBeGreaterThan(2), 5_000);
    place.files.clear();
    await place.put("web", "1.0.1");
    await vi.waitFor(() => expect(facts.changed).toMatchObject([{ ids: ["a"], revision: "1.0.1" }]), 5_000);
  });

  test("a chart whose archive has another digest than the index says is refused", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0", {}, { digest: "0".repeat(64) });
    await place.put("hex", "1.0.0", {}, { digest: "ab".repeat(32) });
    await place.put("plain", "1.0.0", {}, { digest: undefined });
    const { repository } = own(helm(place.url));
    expect(await got(repository, "web", "1.0.0")).toMatch(/^FETCH_CORRUPT .*digest/);
    expect(await got(repository, "hex", "1.0.0")).toMatch(/^FETCH_CORRUPT .*digest/);
    expect(await got(repository, "plain", "1.0.0")).toBe("1.0.0 Chart.yaml");
  });

  test("credentials stay with the repository: not to another host in the index, nor along a redirect", async () => {
    const bytes = await chart("web", "1.0.0");
    const away = await serve((_request, response) => response.end(bytes));
    const place = await helmRepository();
    await place.put("web", "1.0.0", {}, { url: `${away.url}/web.tgz` });
    await place.put("moved", "1.0.0", {}, { url: "redirect.tgz" });
    const front = await serve((request, response) => {
      if (request.url!.endsWith("/redirect.tgz")) {
        response.writeHead(302, { location: `${away.url}/moved.tgz` }).end();
        return;
      }
      void fetch(`${place.url}${request.url}`).then(async (answer) =>
        response.end(Buffer.from(await answer.arrayBuffer())),
      );
    });
    const { repository } = own(helm(front.url, basic));
    expect(await got(repository, "web", "1.0.0")).toBe("1.0.0 Chart.yaml");
    await got(repository, "moved", "1.0.0");
    expect(away.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
    expect(front.seen.every(({ headers }) => headers.authorization?.startsWith("Basic "))).toBe(true);
    // Unless the source says so; and along a redirect not even then.
    const { repository: passing } = own(helm(front.url, basic));
    await got(passing, "web", "1.0.0", true);
    await got(passing, "moved", "1.0.0", true);
    expect(away.seen.map(({ headers }) => headers.authorization !== undefined)).toEqual([false, false, true, false]);
  });

  test("addresses that are never asked are refused wherever they come from", async () => {
    const place = await helmRepository();
    for (const [n, url] of [
      "http://169.254.169.254/x.tgz",
      "file:///etc/passwd",
      "ftp://h/x",
      "http://u:p@h/x",
    ].entries())
      await place.put("web", `1.0.${n}`, {}, { url });
    await place.put("web", "1.0.9", {}, { url: "redirect.tgz" });
    const { repository } = own(helm(place.url));
    for (const n of [0, 1, 2, 3]) expect(await got(repository, "web", `1.0.${n}`)).toMatch(/^REPO_URL_DENIED /);
    const redirecting = await serve((_request, response) =>
      response.writeHead(302, { location: "http://169.254.169.254/latest" }).end(),
    );
    expect(await got(own(helm(redirecting.url)).repository, "web", "*")).toMatch(/^REPO_URL_DENIED /);
    const circling = await serve((request, response) => response.writeHead(302, { location: request.url! }).end());
    expect(await got(own(helm(circling.url)).repository, "web", "*")).toMatch(
      /^CHART_REPO_UNREACHABLE .*again and again/,
    );
  });

  test("an index that never ends, is none, or was made to keep a reader busy ends at its limit, and others go on", async () => {
    const endless = await serve((_request, response) => {
      response.write("entries:\n");
      const more = () => {
        if (!response.destroyed && response.write(`  ${"x".repeat(60_000)}: []\n`)) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    });
    const small = { limits: { bytesMax: 2_000_000 } };
    expect(await got(own(helm(endless.url, undefined, small)).repository, "web", "*")).toMatch(/^FETCH_LIMIT /);
    const slow = await serve((_request, response) => {
      const timer = setInterval(() => response.write("x: 1\n"), 20);
      response.on("close", () => clearInterval(timer));
    });
    expect(await got(own(helm(slow.url, undefined, { http: { totalMs: 300 } })).repository, "web", "*")).toMatch(
      /^CHART_REPO_UNREACHABLE .*took longer/,
    );
    const says = async (text: string, more = {}) => {
      const { url } = await serve((_request, response) => response.end(text));
      return await got(own(helm(url, undefined, more)).repository, "web", "*");
    };
    for (const text of ["<html>", "entries: 1", "", "a: [", '{"entries": null}', "!!js/function 'x'"])
      expect(await says(text), text).toMatch(/^CHART_REPO_INVALID /);
    expect(await says('{"entries": {"__proto__": [{"version": "1.0.0", "urls": ["x"]}], "web": "x"}}')).toMatch(
      /^CHART_NOT_FOUND /,
    );
    const many = `{"entries":{"web":[${Array.from({ length: 500 }, (_, n) => `{"version":"1.0.${n}","urls":["x"]}`).join()}]}}`;
    expect(await says(many, { limits: { versionsMax: 100 } })).toMatch(/^FETCH_LIMIT /);
    const nested = `entries: ${"[".repeat(200_000)}`;
    expect(await says(nested, { limits: { readMs: 2_000 } })).toMatch(/^(CHART_REPO_INVALID|FETCH_LIMIT) /);
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghijkl"
      .split("")
      .map((c, n) => `${c}: &${c} [${Array(9).fill(`*${"abcdefghijk"[n]}`).join()}]`)
      .join("\n")}\nentries: {web: *l}\n`;
    expect(await says(bomb)).toMatch(/^(CHART_NOT_FOUND|CHART_REPO_INVALID) /);
  });

  test("what a server refuses is said with a code, and never with the credentials", async () => {
    for (const [status, code] of [
      [401, "CHART_REPO_AUTH_FAILED"],
      [403, "CHART_REPO_AUTH_FAILED"],
      [404, "CHART_REPO_INVALID"],
      [500, "CHART_REPO_UNREACHABLE"],
    ] as const) {
      const { url } = await serve((_request, response) => response.writeHead(status).end("CANARY"));
      const said = await got(own(helm(url, basic)).repository, "web", "*");
      expect(said).toMatch(new RegExp(`^${code} `));
      expect(said).not.toContain("CANARY");
    }
  });
});

describe("an OCI registry", () => {
  test("a chart is found by tag, constraint and digest, and a tag that moves is told", async () => {
    const name = `charts-${randomUUID()}`;
    await push(`${name}/web`, "1.0.0", await chart("web", "1.0.0"));
    await push(`${name}/web`, "1.1.0_build.5", await chart("web", "1.1.0+build.5", { "values.yaml": "" }));
    const { repository, told: facts } = own(oci(`oci://${registry}/${name}`));
    expect(await got(repository, "web", "1.0.0")).toBe("1.0.0 Chart.yaml");
    expect(await got(repository, "web", "1.1.0+build.5")).toBe("1.1.0+build.5 Chart.yaml values.yaml");
    expect(await got(repository, "web", "1.*")).toBe("1.1.0+build.5 Chart.yaml values.yaml");
    expect(await got(repository, "web", "3.0.0")).toMatch(/^CHART_NOT_FOUND /);
    expect(await got(repository, "none", "*")).toMatch(/^CHART_NOT_FOUND /);
    expect(await got(repository, "../etc", "1.0.0")).toMatch(/^CHART_NOT_FOUND .*cannot be/);
    const found = value(await repository.resolve("web", "1.0.0", "latest", cause));
    repository.watch(
      { id: "a", chart: "web", targetRevision: "1.0.0", revision: "1.0.0", digest: found.digest },
      cause,
    );
    value(await repository.nudge(cause));
    expect(facts.changed).toEqual([]);
    await push(`${name}/web`, "1.0.0", await chart("web", "1.0.0", { "values.yaml": "replaced" }));
    value(await repository.nudge(cause));
    expect(facts.changed).toMatchObject([{ ids: ["a"], revision: "1.0.0" }]);
    expect(await got(repository, "web", "1.0.0")).toBe("1.0.0 Chart.yaml values.yaml");
    const { repository: whole } = own(oci(`oci://${registry}/${name}/web`));
    expect(await got(whole, "", found.digest!)).toBe(`${found.digest} Chart.yaml`);
  });

  /** A front that asks for a token as registries do, and gives blobs out somewhere else. */
  async function guarded(options: { realm?: string; token?: string; elsewhere?: string; scopeOf?: string[] } = {}) {
    const scopes = options.scopeOf ?? [];
    const front = await serve((request, response) => {
      const url = new URL(request.url!, "http://x");
      if (url.pathname === "/token") {
        scopes.push(url.searchParams.get("scope") ?? "");
        const known = request.headers.authorization === `Basic ${Buffer.from("u:CANARY").toString("base64")}`;
        if (!known) return response.writeHead(401).end();
        return response.end(JSON.stringify({ token: "TOKEN", expires_in: 300 }));
      }
      if (request.headers.authorization !== "Bearer TOKEN") {
        const realm = options.realm ?? `http://${request.headers.host}/token`;
        const challenge = `Bearer realm="${realm}",service="reg",scope="repository:all:push,pull"`;
        return response.writeHead(401, { "www-authenticate": challenge }).end();
      }
      if (options.elsewhere && url.pathname.includes("/blobs/"))
        return response.writeHead(307, { location: `${options.elsewhere}${request.url}` }).end();
      return void fetch(`http://${registry}${request.url}`, {
        method: request.method ?? "GET",
        headers: { accept: request.headers.accept ?? "" },
      }).then(async (answer) => {
        const digest = answer.headers.get("docker-content-digest");
        response.writeHead(answer.status, digest ? { "docker-content-digest": digest } : {});
        response.end(Buffer.from(await answer.arrayBuffer()));
      });
    });
    return front;
  }

  test("a token is asked for with our scope and kept, and blobs behind a redirect come without it", async () => {
    const name = `charts-${randomUUID()}`;
    await push(`${name}/web`, "1.0.0", await chart("web", "1.0.0"));
    const storage = await serve((request, response) => {
      void fetch(`http://${registry}${request.url}`).then(async (answer) =>
        response.end(Buffer.from(await answer.arrayBuffer())),
      );
    });
    const scopeOf: string[] = [];
    const front = await guarded({ elsewhere: storage.url, scopeOf });
    const { repository } = own(oci(front.url.replace("http://", "oci://").concat(`/${name}`), basic));
    expect(await got(repository, "web", "1.*")).toBe("1.0.0 Chart.yaml");
    expect(scopeOf).toEqual([`repository:${name}/web:pull`]);
    expect(storage.seen.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    const { repository: nobody } = own(oci(front.url.replace("http://", "oci://").concat(`/${name}`)));
    expect(await got(nobody, "web", "1.*")).toMatch(/^CHART_REPO_AUTH_FAILED .*asks for credentials/);
  });

  test("a realm elsewhere gets no credentials", async () => {
    const thief = await serve((_request, response) => response.end(JSON.stringify({ token: "TOKEN" })));
    const { port } = new URL(thief.url);
    const front = await guarded({ realm: `http://localhost:${port}/token` });
    const { repository } = own(oci(`${front.url.replace("http://", "oci://")}/x`, basic));
    const said = await got(repository, "web", "1.*");
    expect(said).toMatch(/^REPO_URL_DENIED .*not its own/);
    expect(said).not.toContain("CANARY");
    expect(thief.seen).toEqual([]);
    for (const realm of ["file:///etc/passwd", "http://u:p@h/", ""])
      expect(
        await got(
          own(oci(`${(await guarded({ realm })).url.replace("http://", "oci://")}/x`, basic)).repository,
          "web",
          "*",
        ),
      ).toMatch(/^CHART_REPO_INVALID /);
  });

  test("wrong digests, endless tags and nonsense are refused with a code", async () => {
    const bytes = await chart("web", "1.0.0");
    const layer = {
      mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
      digest: `sha256:${sha256(bytes)}`,
    };
    const manifest = (more = {}) => JSON.stringify({ schemaVersion: 2, config: {}, layers: [{ ...layer, ...more }] });
    const says = async (handler: Handler, version = "1.0.0") => {
      const { url } = await serve(handler);
      return await got(own(oci(`${url.replace("http://", "oci://")}/x`)).repository, "web", version);
    };
    const registryOf =
      (text: string, blob: Buffer | string, headers = {}): Handler =>
      (request, response) => {
        if (request.url!.includes("/blobs/")) return response.end(blob);
        return response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : text);
      };
    expect(await says(registryOf(manifest(), bytes))).toBe("1.0.0 Chart.yaml");
    expect(await says(registryOf(manifest(), "other"))).toMatch(/^FETCH_CORRUPT .*digest/);
    const lying = { "docker-content-digest": `sha256:${"0".repeat(64)}` };
    expect(await says(registryOf(manifest(), bytes, lying))).toMatch(/^FETCH_CORRUPT .*manifest/);
    expect(await says(registryOf(manifest({ digest: "md5:x" }), bytes))).toMatch(/^CHART_REPO_INVALID /);
    expect(await says(registryOf(manifest({ mediaType: "text/plain" }), bytes))).toMatch(/^CHART_INVALID /);
    expect(await says(registryOf(manifest({ size: 1e12 }), bytes))).toMatch(/^FETCH_LIMIT /);
    expect(await says(registryOf("<html>", bytes))).toMatch(/^CHART_REPO_INVALID /);
    let page = 0;
    const endless: Handler = (request, response) =>
      response
        .writeHead(200, { link: `<${request.url!.split("?")[0]}?n=1000&last=${(page += 1)}>; rel="next"` })
        .end('{"tags":["a"]}');
    expect(await says(endless, "1.*")).toMatch(/^FETCH_LIMIT /);
    const away: Handler = (_request, response) =>
      response.writeHead(200, { link: '<http://169.254.169.254/v2/x/tags/list>; rel="next"' }).end('{"tags":["a"]}');
    expect(await says(away, "1.*")).toMatch(/^CHART_REPO_INVALID .*elsewhere/);
  });
});

describe("sources", () => {
  const changed: { ids: string[]; revision: string | undefined }[] = [];
  function owners(secrets: RepositorySecret[] = [], constraint: MatchConstraint = matchConstraint): Owners {
    changed.length = 0;
    const made = new Owners({
      clock: systemClock,
      matchConstraint: constraint,
      secrets: {
        synced: Promise.resolve(),
        credentialsFor: (url, project) => credentialsFor(secrets, url, project),
        urlOfName: (name, project) => urlOfName(secrets, name, project),
        stop() {},
      },
      events: () => ({
        onPolled() {},
        onSourcesChanged: (change) => changed.push(change),
        onSourcesUnchanged() {},
        onFailed() {},
      }),
    });
    closing.push(() => made.close());
    return made;
  }
  const app = { uid: "uid", project: "default" };
  const source = (repoURL: string, more: Partial<SourceRef> = {}): SourceRef => ({
    repoURL,
    repository: repositoryHash(repoURL),
    targetRevision: "main",
    path: ".",
    ...more,
  });
  const ask = (all: Owners, from: SourceRef, more: Partial<SourceQuestion> = {}) =>
    fetchSource(all, { app, source: from, freshness: "latest", inputs: undefined, extraPaths: [], ...more }, cause);
  const poll = { everyMs: 0, jitterMs: 0 };

  test("a chart with value files from Git: one bundle, and only what is read of either makes a change", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0", { "values.yaml": "a: 1" });
    const { url, sha } = await git.createRepository("values", { "env/prod.yaml": "b: 2", "env/dev.yaml": "b: 3" });
    const all = owners();
    const from = source(place.url, { chart: "web", targetRevision: "1.*" });
    const refs: RefSource[] = [{ name: "values", source: source(url, { key: "1" }) }];
    const extraPaths = [".git/refs/values/env/prod.yaml", ".git/refs/values/env/none.yaml"];
    const fetched = value(await ask(all, from, { refs, extraPaths }));
    expect(fetched).toMatchObject({ revision: "1.0.0", refRevisions: { values: sha } });
    const bundle = decodeBundle(encodeBundle(fetched.bundle!));
    expect(bundle).toMatchObject({ path: "", refs: { values: ".git/refs/values" } });
    const files = new BundleFiles(bundle);
    const kinds = [
      "Chart.yaml",
      ".git/refs/values/env/prod.yaml",
      ".git/refs/values/env/none.yaml",
      "x",
      ".git/refs/values/env/dev.yaml",
    ];
    expect(kinds.map((path) => files.stat(path).kind)).toEqual(["entry", "entry", "absent", "absent", "unknown"]);

    const keys = [fileInput("Chart.yaml"), ...extraPaths.map(fileInput)];
    const inputs = new Map(keys.map((key) => [key, files.inputValue(key)!]));
    const { revision, chartDigest, refRevisions } = fetched;
    const watch = { app, source: from, refs, inputs, revision, chartDigest, refRevisions, poll };
    await watchSource(all, watch, cause);
    const look = async () => {
      value(await value(await all.of(url, "default")).nudge(cause));
      value(await value(await all.chartsOf(place.url, "default")).nudge(cause));
    };
    await look();
    expect(changed).toEqual([]);
    await git.commitFiles("values", { "env/dev.yaml": "b: 4" }, "not read");
    await look();
    expect(changed).toEqual([]);
    // Nor does asking again make a bundle.
    expect(value(await ask(all, from, { refs, extraPaths, inputs })).bundle).toBeUndefined();
    await git.commitFiles("values", { "env/prod.yaml": "b: 5" }, "read");
    await look();
    expect(changed).toMatchObject([{ ids: ["uid$values"] }]);
    expect(value(await ask(all, from, { refs, extraPaths, inputs })).bundle).toBeDefined();
    changed.length = 0;
    await place.put("web", "1.1.0");
    await look();
    expect(changed).toMatchObject([{ ids: ["uid"], revision: "1.1.0" }]);
    // A source that no longer refers to it is not told of it.
    value(await ask(all, from, { refs: [] }));
    changed.length = 0;
    await git.commitFiles("values", { "env/prod.yaml": "b: 6" }, "again");
    await look();
    expect(changed).toEqual([]);
  });

  test("a push to a registry wakes who follows that chart, by whichever folder, and nobody else", async () => {
    const name = `pushed-${randomUUID()}`;
    await push(`${name}/web`, "1.0.0", await chart("web", "1.0.0"));
    const url = `oci://${registry}/${name}`;
    const fields = { url, insecureOCIForceHttp: "true", type: "helm" };
    const all = owners([{ name: "o", type: "repository", fields }]);
    const from = source(url, { chart: "web", targetRevision: "1.*" });
    const { revision, chartDigest } = value(await ask(all, from));
    await watchSource(all, { app, source: from, inputs: undefined, revision, chartDigest, poll }, cause);
    await Promise.all(all.nudge(url, cause));
    changed.length = 0;
    await push(`${name}/web`, "1.1.0", await chart("web", "1.1.0"));
    expect(all.nudge(`${url}/other`, cause)).toEqual([]);
    const [looked, ...more] = await Promise.all(all.nudge(`${url}/web`, cause));
    expect(more).toEqual([]);
    expect(value(looked!)).toMatchObject([
      { targetRevision: "web 1.*", at: "1.1.0", moved: { from: "1.0.0", told: ["uid"] }, count: 1 },
    ]);
    expect(changed).toMatchObject([{ ids: ["uid"], revision: "1.1.0" }]);
  });

  test("a chart in Git gets its dependencies from a Helm repository, a registry and one that a Secret names", async () => {
    const place = await helmRepository();
    const redis = await place.put("redis", "17.1.0");
    await place.put("named", "0.1.0");
    const name = `deps-${randomUUID()}`;
    const { layer } = await push(`${name}/db`, "2.0.0", await chart("db", "2.0.0"));
    const { url } = await git.createRepository("umbrella", { "app/Chart.yaml": "name: umbrella" });
    const all = owners([
      { name: "s", type: "repository", fields: { url: place.url, name: "stable", type: "helm" } },
      {
        name: "o",
        type: "repository",
        fields: { url: `oci://${registry}/${name}`, insecureOCIForceHttp: "true", type: "helm" },
      },
    ]);
    const charts = [
      { repository: place.url, name: "redis", version: "^17.0.0" },
      { repository: `oci://${registry}/${name}`, name: "db", version: "2.0.0" },
      { repository: "@stable", name: "named", version: "0.1.x" },
    ];
    const fetched = value(await ask(all, source(url, { path: "app" }), { charts }));
    const { bundle } = fetched;
    expect(bundle!.charts).toEqual([
      { ...charts[0], path: `.git/charts/${sha256(redis)}.tgz` },
      { ...charts[1], path: `.git/charts/${layer.slice("sha256:".length)}.tgz` },
      { ...charts[2], path: expect.stringMatching(/^\.git\/charts\/[0-9a-f]{64}\.tgz$/) },
    ]);
    expect(Buffer.from(bundle!.entries.get(bundle!.charts![0]!.path)!.bytes).equals(redis)).toBe(true);
    // They are no reason to make another bundle.
    const files = new BundleFiles(bundle!);
    const keys = ["app/Chart.yaml", bundle!.charts![0]!.path].map(fileInput);
    const inputs = new Map(keys.map((key) => [key, files.inputValue(key)!]));
    expect(value(await ask(all, source(url, { path: "app" }), { charts, inputs })).bundle).toBeUndefined();
    const missing = [{ repository: place.url, name: "redis", version: "99.0.0" }];
    expect(told(await ask(all, source(url, { path: "app" }), { charts: missing }))).toMatch(/^CHART_NOT_FOUND redis: /);
    const unnamed = [{ repository: "@unknown", name: "redis", version: "1.0.0" }];
    expect(told(await ask(all, source(url, { path: "app" }), { charts: unnamed }))).toMatch(
      /^CHART_NOT_FOUND redis: .*unknown/,
    );
  });

  test("the render engine gets what it asks for: value files of another repository and a chart's dependency", async () => {
    const place = await helmRepository();
    const template = (name: string) =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {color: {{ .Values.color | quote }}}\n`;
    await place.put("base", "1.4.0", { "templates/cm.yaml": template("base"), "values.yaml": "color: none" });
    const { url } = await git.createRepository("colors", { "prod.yaml": "color: red\nbase: {color: blue}" });
    const dependencies = `dependencies:\n- {name: base, version: ^1.0.0, repository: ${place.url}}\n`;
    const wants = `apiVersion: v2\nname: web\nversion: 1.0.0\n${dependencies}`;
    const files = { "templates/cm.yaml": template("web"), "values.yaml": "color: none" };
    await place.put("web", "1.0.0", { ...files, "Chart.yaml": wants });
    const engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
    closing.push(() => engine.close());
    const real = (constraint: string, versions: readonly string[]) =>
      engine
        .constraint({ constraint, versions })
        .then((o) => (o.kind === "match" || o.kind === "exact" ? o.version : undefined));
    const all = owners([], real);
    const from = source(place.url, { chart: "web", targetRevision: "~1.0" });
    const refs: RefSource[] = [{ name: "v", source: source(url, { key: "1" }) }];
    const extraPaths: string[] = [];
    const charts: ChartWanted[] = [];
    for (let round = 0; ; round += 1) {
      expect(round).toBeLessThan(4);
      const { bundle } = value(await ask(all, from, { refs, extraPaths, charts }));
      const outcome = await engine.render({
        path: bundle!.path,
        appName: "app",
        helm: { valueFiles: ["$v/prod.yaml"] },
        refs: bundle!.refs,
        charts: bundle!.charts,
        complete: bundle!.complete,
        absent: bundle!.absent,
        entries: [...bundle!.entries].map(([path, { bytes }]) => ({ path, bytes })),
      });
      if (outcome.kind === "need") {
        extraPaths.push(...outcome.paths);
        charts.push(...outcome.charts.map((chart) => ({ ...chart })));
        continue;
      }
      if (outcome.kind === "failed") throw new Error(`${outcome.code} ${outcome.message}`);
      if (outcome.kind === "plugin") throw new Error("no plugin was asked for");
      expect(outcome.manifests.map(({ metadata, body }) => `${metadata} ${body}`).sort()).toEqual([
        expect.stringMatching(/"name":"base".*"color":"blue"/),
        expect.stringMatching(/"name":"web".*"color":"red"/),
      ]);
      // Everything the engine says it read, the bundle has a value for: so it can be compared the next time.
      const known = new BundleFiles(bundle!);
      const keys = [...outcome.reads.files, ...outcome.reads.missed].map(fileInput);
      const inputs = new Map(keys.map((key) => [key, known.inputValue(key)!]));
      expect([...inputs.values()]).not.toContain(undefined);
      expect(value(await ask(all, from, { refs, extraPaths, charts, inputs })).bundle).toBeUndefined();
      break;
    }
    expect(charts).toMatchObject([{ repository: place.url, name: "base", version: "^1.0.0" }]);
    expect(extraPaths).toEqual([".git/refs/v/prod.yaml"]);
  });

  test("a ref into the same repository is the same tree, and at another revision an error", async () => {
    const { url, sha } = await git.createRepository("same", { "app/a.yaml": "1", "env/prod.yaml": "2" });
    await git.commitFiles("same", { "app/a.yaml": "2" }, "second");
    await git.setRef("same", "refs/heads/old", sha!);
    const all = owners();
    const ref = (targetRevision: string): RefSource[] => [
      { name: "v", source: source(url, { targetRevision, key: "1" }) },
    ];
    const fetched = value(
      await ask(all, source(url, { path: "app" }), { refs: ref("main"), extraPaths: ["env/prod.yaml"] }),
    );
    expect(fetched.bundle!.refs).toEqual({ v: "" });
    expect([...fetched.bundle!.entries.keys()].sort()).toEqual(["app/a.yaml", "env/prod.yaml"]);
    expect(told(await ask(all, source(url, { path: "app" }), { refs: ref("old") }))).toMatch(/^SPEC_INVALID /);
    const chartRef: RefSource[] = [{ name: "v", source: source(url, { chart: "x" }) }];
    expect(told(await ask(all, source(url, { path: "app" }), { refs: chartRef }))).toMatch(/^SPEC_INVALID /);
  });

  test("sources of one Application are forgotten one by one or all, and a referred repository stays with its source", async () => {
    const place = await helmRepository();
    await place.put("web", "1.0.0");
    const { url } = await git.createRepository("kept", { "a.yaml": "1" });
    const all = owners();
    const refs: RefSource[] = [{ name: "v", source: source(url, { key: "2" }) }];
    const from = source(place.url, { chart: "web", targetRevision: "*", key: "0" });
    const alone = source(url, { key: "1" });
    value(await ask(all, from, { refs, extraPaths: [".git/refs/v/a.yaml"] }));
    value(await ask(all, alone));
    const ids = async () => [
      ...value(await all.of(url, "default")).watched(),
      ...value(await all.chartsOf(place.url, "default")).watched(),
    ];
    expect((await ids()).sort()).toEqual(["uid#0", "uid#0$v", "uid#1"]);
    // Another replica takes the Git repository: what only refers to it goes on being followed here.
    all.keepOnly((hash) => hash === repositoryHash(place.url));
    expect((await ids()).sort()).toEqual(["uid#0", "uid#0$v"]);
    value(await ask(all, alone));
    all.forgetSource("uid", "0");
    expect(await ids()).toEqual(["uid#1"]);
    value(await ask(all, from, { refs }));
    all.keepOnly(() => false);
    expect(await ids()).toEqual([]);
    value(await ask(all, from, { refs }));
    all.forgetSource("uid", undefined);
    expect(await ids()).toEqual([]);
  });

  test("versions with a tag prefix are those of one component", async () => {
    const { url, sha: one } = await git.createRepository("prefixed", { a: "1" });
    const two = await git.commitFiles("prefixed", { a: "2" }, "second");
    await git.setRef("prefixed", "refs/tags/web-1.0.0", one!);
    await git.setRef("prefixed", "refs/tags/db-1.5.0", two);
    const all = owners();
    const at = async (tagPrefix: string) =>
      value(await ask(all, source(url, { targetRevision: "1.*", tagPrefix, path: "." }))).revision;
    expect(await at("web-")).toBe(one);
    expect(await at("db-")).toBe(two);
  });

  test("what has no content here is named: submodules and pointers of Git LFS", async () => {
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"a".repeat(64)}\nsize 9\n`;
    const { url } = await git.createRepository("lfs", { "a.yaml": "kind: A", "big.yaml": pointer });
    const { bundle } = value(await ask(owners(), source(url)));
    expect(contentless(bundle!)).toEqual({ lfsPointers: ["big.yaml"], submodules: [] });
  });
});
