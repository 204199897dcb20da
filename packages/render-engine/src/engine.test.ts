// The supervisor and the real engine together; children that misbehave are small shell scripts in the engine's place.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { buildRenderEngine } from "./build.ts";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";
import type { BundleEntry, RenderedManifest, RenderJob } from "./protocol.ts";

let binary: string;
let folder: string;
const engines: Engine[] = [];

beforeAll(async () => {
  binary = await buildRenderEngine();
  folder = mkdtempSync(join(tmpdir(), "driftless-engine-"));
}, 600_000);

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function engineWith(options: Partial<EngineOptions> = {}): Engine {
  const engine = createEngine({ binary, children: 1, ...options });
  engines.push(engine);
  return engine;
}

function job(files: Record<string, string | Buffer>, more: Partial<RenderJob> = {}): RenderJob {
  const entries: BundleEntry[] = Object.entries(files).map(([path, bytes]) => ({ path, bytes: Buffer.from(bytes) }));
  return { path: "app", appName: "guestbook", entries, complete: ["app"], ...more };
}

const configMap = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n`;

const textOf = (m: RenderedManifest) =>
  `{"apiVersion":${JSON.stringify(m.apiVersion)},"kind":${JSON.stringify(m.kind)},"metadata":${m.metadata}${m.body && `,${m.body}`}}`;

/** A program that does `misdeed` when first started and is the real engine from then on. */
function onceBad(name: string, misdeed: string): string {
  const program = join(folder, name);
  writeFileSync(
    program,
    `#!/bin/sh\nif [ -e ${program}.done ]; then exec ${binary} "$@"; fi\n: > ${program}.done\n${misdeed}\n`,
  );
  chmodSync(program, 0o755);
  return program;
}

async function until(what: string, check: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!check()) {
    if (performance.now() > end) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("rendering a directory", () => {
  it("gives manifests in order, their texts exact to the last digit, and what was read", async () => {
    const outcome = await engineWith().render(
      job({
        "app/b.yaml": `${configMap("b")}data: {on: yes, v: 014}\nbig: 12345678901234567890\n`,
        "app/a.yaml": configMap("é"),
        "app/README.md": "x",
      }),
    );
    if (outcome.kind !== "rendered") throw new Error(JSON.stringify(outcome));
    expect(outcome.manifests.map(textOf)).toEqual([
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"é"}}',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"big":12345678901234567890,"data":{"true":true,"v":12}}',
    ]);
    expect(outcome.manifests.map((m) => [m.file, m.line])).toEqual([
      ["app/a.yaml", 1],
      ["app/b.yaml", 1],
    ]);
    expect(outcome.empty).toBe(false);
    expect(outcome.reads).toEqual({
      files: ["app/a.yaml", "app/b.yaml"],
      listings: ["app"],
      missed: [
        "app/.argocd-source.yaml",
        "app/.argocd-source-guestbook.yaml",
        "app/kustomization.yaml",
        "app/kustomization.yml",
        "app/Kustomization",
        "app/Chart.yaml",
      ],
    });
  });

  it("says that a render is empty, and that a broken file is a failure with file and line", async () => {
    const engine = engineWith();
    expect(await engine.render(job({ "app/README.md": "" }))).toMatchObject({ kind: "rendered", empty: true });
    expect(await engine.render(job({ "app/x.yaml": `${configMap("a")}data:\n\tx: 1\n` }))).toMatchObject({
      kind: "failed",
      code: "MANIFEST_INVALID",
      file: "app/x.yaml",
      line: 6,
    });
  });

  it("asks for what the bundle lacks and is content to hear that it does not exist", async () => {
    const engine = engineWith();
    const entries: BundleEntry[] = [{ path: "app/l.yaml", bytes: Buffer.from("../shared/x.yaml"), kind: "link" }];
    expect(await engine.render(job({}, { entries }))).toEqual({
      kind: "need",
      paths: ["shared/x.yaml"],
      charts: [],
      cluster: false,
    });
    expect(await engine.render(job({}, { entries, absent: ["shared/x.yaml"] }))).toMatchObject({ empty: true });
    const found = [...entries, { path: "shared/x.yaml", bytes: Buffer.from(configMap("x")) }];
    expect(await engine.render(job({}, { entries: found }))).toMatchObject({ kind: "rendered", empty: false });
    expect(await engine.render(job({}, { path: "elsewhere" }))).toEqual({
      kind: "need",
      paths: ["elsewhere"],
      charts: [],
      cluster: false,
    });
  });

  it("takes a directory with options as one even when a chart lies in it", async () => {
    const files = { "app/Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n", "app/sub/a.yaml": configMap("a") };
    const engine = engineWith();
    const recurse = { recurse: true, exclude: "Chart.yaml" };
    expect(await engine.render(job(files, { directory: {} }))).toMatchObject({ type: "Helm", empty: true });
    expect(await engine.render(job(files, { directory: recurse }))).toMatchObject({ type: "Directory", empty: false });
  });

  it("survives bombs, each refused by its limit, and goes on with the same child", async () => {
    const engine = engineWith();
    let bomb = `${configMap("a")}l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n`;
    for (let i = 1; i < 10; i++) bomb += `l${i}: &l${i} [${`*l${i - 1},`.repeat(10)}]\n`;
    const wide = `${configMap("a")}a: &a ${"x".repeat(1 << 20)}\nb: [${"*a,".repeat(99)}]\n`;
    const many = `${configMap("a")}---\n`.repeat(100_000);
    for (const [which, content] of [
      ["aliases", bomb],
      ["expanded", wide],
      ["documents", many],
      ["depth", `${configMap("a")}x: ${"[".repeat(5000)}${"]".repeat(5000)}`],
      ["bytes", `${configMap("a")}x: ${"y".repeat(10 << 20)}`],
    ] as const) {
      const outcome = await engine.render(job({ "app/a.yaml": content }));
      expect(outcome, which).toMatchObject({ kind: "failed", code: "RENDER_LIMIT", which });
      expect(await engine.render(job({ "app/a.yaml": configMap("a") })), which).toMatchObject({ kind: "rendered" });
    }
  });
});

describe("rendering Helm, Kustomize and Jsonnet", () => {
  const chart = (template: string) => ({
    "app/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n",
    "app/templates/a.yaml": template,
  });

  it("passes the source's options, the environment and the cluster's versions on, and says what was used of them", async () => {
    const template = `${configMap("{{ .Release.Name }}")}data: {v: "{{ .Capabilities.KubeVersion }}", r: "{{ .Values.r }}", x: "{{ randAlpha 3 }}"}\n`;
    const outcome = await engineWith().render(
      job(chart(template), {
        helm: { releaseName: "web", parameters: [{ name: "r", value: "$ARGOCD_APP_REVISION_SHORT" }] },
        environment: { revision: "0123456789" },
        kubeVersion: "1.31.2",
      }),
    );
    if (outcome.kind !== "rendered") throw new Error(JSON.stringify(outcome));
    expect(outcome.manifests.map(textOf).join()).toMatch(/"name":"web".*"r":"0123456","v":"v1.31.2"/);
    expect(outcome).toMatchObject({
      type: "Helm",
      uses: {
        variables: ["ARGOCD_APP_REVISION_SHORT", "KUBE_VERSION"],
        nondeterministic: ["randAlpha"],
        lookup: false,
      },
    });
  });

  it("asks for the cluster's versions where they matter, and says which API versions a chart asked for", async () => {
    const files = chart(`${configMap("a")}data: {v: "{{ .Capabilities.APIVersions.Has "x.io/v1" }}"}\n`);
    const engine = engineWith();
    expect(await engine.render(job(files, { asksCluster: true }))).toMatchObject({ kind: "need", cluster: true });
    const known = { asksCluster: true, kubeVersion: "v1.31.2", apiVersions: ["v1", "x.io/v1"] };
    expect(await engine.render(job(files, known))).toMatchObject({
      kind: "rendered",
      uses: { variables: ["KUBE_API_VERSIONS"], apiVersions: { "x.io/v1": true } },
    });
  });

  it("asks for charts that are not vendored, and takes the files of a ref from its place in the bundle", async () => {
    const files = {
      "app/Chart.yaml":
        "apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies: [{name: c, version: 1.x, repository: oci://h/c}]\n",
    };
    expect(await engineWith().render(job(files))).toEqual({
      kind: "need",
      paths: [],
      charts: [{ repository: "oci://h/c", name: "c", version: "1.x" }],
      cluster: false,
    });
    const values = { ...chart(configMap("{{ .Values.who }}")), ".git/refs/v/x.yaml": "who: from-ref\n" };
    const more = { helm: { valueFiles: ["$v/x.yaml"] }, refs: { v: ".git/refs/v" } };
    const outcome = await engineWith().render(job(values, more));
    expect(outcome).toMatchObject({ manifests: [{ metadata: '{"name":"from-ref"}' }] });
  });

  it("applies Kustomize's options and asks for bases outside the bundle", async () => {
    const engine = engineWith();
    const files = { "app/kustomization.yaml": "resources: [../base]\n" };
    expect(await engine.render(job(files))).toMatchObject({ kind: "need", paths: ["base"] });
    const all = { ...files, "base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": configMap("a") };
    const outcome = await engine.render(job(all, { complete: ["app", "base"], kustomize: { namePrefix: "p-" } }));
    expect(outcome).toMatchObject({ type: "Kustomize", manifests: [{ metadata: '{"name":"p-a"}' }] });
  });

  for (const [title, files] of [
    ["a template that counts to a billion", chart("{{ range until 1000000000 }}x{{ end }}")],
    [
      "a template that calls itself through tpl",
      chart('{{ define "t" }}{{ tpl "{{ include \\"t\\" . }}" . }}{{ end }}{{ include "t" . }}'),
    ],
    ["a Jsonnet text of ten billion letters", { "app/a.jsonnet": "std.repeat('x', 1e10)" }],
    ["a Jsonnet array without end", { "app/a.jsonnet": "std.foldl(function(a, i) a + a, std.range(1, 60), [1])" }],
  ] as const) {
    it(`ends ${title}, and answers the next job within a second`, async () => {
      const engine = engineWith({ jobTimeoutMs: 3000, memoryLimitBytes: 256 << 20 });
      const bad = await engine.render(job(files));
      expect(bad).toMatchObject({ kind: "failed" });
      expect(["RENDER_LIMIT", "MANIFEST_INVALID"]).toContain(bad.kind === "failed" && bad.code);
      const started = performance.now();
      expect(await engine.render(job({ "app/a.yaml": configMap("a") }))).toMatchObject({ kind: "rendered" });
      expect(performance.now() - started).toBeLessThan(1000);
    });
  }
});

describe("questions of fidelity", () => {
  it("resolves constraints as Argo CD does", async () => {
    const engine = engineWith();
    const versions = ["v1.9.0", "v1.10.0", "v2.0.0-rc.1", "x"];
    expect(await engine.constraint({ constraint: "1.x", versions })).toEqual({ kind: "match", version: "v1.10.0" });
    expect(await engine.constraint({ constraint: ">=1.0.0-0", versions })).toMatchObject({ version: "v2.0.0-rc.1" });
    expect(await engine.constraint({ constraint: "1.10", versions })).toEqual({ kind: "exact", version: "1.10" });
    expect(await engine.constraint({ constraint: "main", versions })).toEqual({ kind: "literal" });
    expect(await engine.constraint({ constraint: "^9", versions })).toEqual({ kind: "none" });
  });

  it("lets a star cross a slash unless told otherwise", async () => {
    const engine = engineWith();
    const values = ["a/b", "ab", "c"];
    expect(await engine.globs({ pattern: "a*", values })).toEqual({ kind: "matches", matches: [true, true, false] });
    expect(await engine.globs({ pattern: "a*", values, separators: "/" })).toEqual({
      kind: "matches",
      matches: [false, true, false],
    });
    expect(await engine.globs({ pattern: "[", values })).toMatchObject({ kind: "failed", code: "SPEC_INVALID" });
  });
});

describe("supervision", () => {
  const good = () => job({ "app/a.yaml": configMap("a") });

  it("E1: answers many jobs on few children, each with its own result", async () => {
    const engine = engineWith({ children: 2 });
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, (_, i) => engine.render(job({ "app/a.yaml": configMap(`n${i}`) }))),
    );
    expect(outcomes.map((o) => o.kind === "rendered" && o.manifests[0]!.metadata)).toEqual(
      Array.from({ length: 300 }, (_, i) => `{"name":"n${i}"}`),
    );
    expect(engine.pids()).toHaveLength(2);
  });

  it("ends a child that nobody asked anything for a while, and starts another for the next job", async () => {
    const engine = engineWith({ idleTimeoutMs: 20 });
    expect(await engine.render(good())).toMatchObject({ kind: "rendered" });
    const pids = engine.pids();
    await until("the child is gone", () => engine.pids().length === 0);
    expect(await engine.render(good())).toMatchObject({ kind: "rendered" });
    expect(engine.pids()).not.toEqual(pids);
  });

  it("E2: a job over the memory limit fails alone", async () => {
    const engine = engineWith({ memoryLimitBytes: 96 << 20 });
    const huge = `${configMap("a")}x:\n${"- a\n".repeat(2_500_000)}`;
    const outcomes = await Promise.all([
      engine.render(good()),
      engine.render(job({ "app/a.yaml": huge })),
      engine.render(good()),
    ]);
    expect(outcomes).toMatchObject([
      { kind: "rendered" },
      { kind: "failed", code: "RENDER_LIMIT", which: "memory" },
      { kind: "rendered" },
    ]);
  });

  for (const [title, misdeed, failure] of [
    ["hangs", "exec sleep 1000", { code: "RENDER_LIMIT", which: "time" }],
    ["promises 4 GB", "printf '\\377\\377\\377\\377'; exec cat /dev/zero", { code: "RENDER_LIMIT", which: "output" }],
    ["talks garbage", "echo 'hello, this is not a frame at all'; exec sleep 1000", { code: "RENDER_LIMIT" }],
    ["sends zeros for ever", "exec cat /dev/zero", { code: "RENDER_FAILED" }],
    ["answers half a frame", "printf '\\000\\000\\001\\000half'; exit 0", { code: "RENDER_FAILED" }],
    [
      "answers another request",
      "head -c 60 >/dev/null; printf '\\000\\000\\000\\100'; head -c 64 /dev/zero; exec sleep 1000",
      { code: "RENDER_FAILED" },
    ],
    ["ends", "exit 3", { code: "RENDER_FAILED" }],
  ] as const) {
    it(`E2: a child that ${title} costs its own job only, and the next has a new child`, async () => {
      const engine = engineWith({ binary: onceBad(title.replaceAll(" ", "-"), misdeed), jobTimeoutMs: 1500 });
      const [first, second] = await Promise.all([engine.render(good()), engine.render(good())]);
      expect(first).toMatchObject({ kind: "failed", ...failure });
      expect(second).toMatchObject({ kind: "rendered" });
    });
  }

  it("a Lua pattern that nothing can interrupt ends its child in seconds, and the next script is run", async () => {
    const engine = engineWith();
    const script = (text: string) => ({ script: text, openLibs: true, objects: [{}], timeoutMs: 100 });
    const many = (part: string) => `("${part}"):rep(40)`;
    const hopeless = `return { status = string.find(${many("a")}, ${many("a?")} .. ${many("a")} .. "b") }`;
    expect(await engine.health(script(hopeless))).toMatchObject({ code: "RENDER_LIMIT", which: "time" });
    expect(await engine.health(script("return { status = 'Healthy' }"))).toEqual({
      kind: "healths",
      healths: [{ status: "Healthy" }],
    });
  });

  it("E2: a child killed from outside during a job costs one more try", async () => {
    const program = onceBad("killed", "exec sleep 1000");
    const engine = engineWith({ binary: program });
    const outcome = engine.render(good());
    await until("the child runs", () => existsSync(`${program}.done`));
    process.kill(engine.pids()[0]!, "SIGKILL");
    expect(await outcome).toMatchObject({ kind: "rendered" });
  });

  it("E2: a child killed while idle is replaced unnoticed", async () => {
    const engine = engineWith();
    await engine.render(good());
    const [before] = engine.pids();
    process.kill(before!, "SIGKILL");
    expect(await engine.render(good())).toMatchObject({ kind: "rendered" });
    expect(engine.pids()).not.toContain(before);
  });

  it("E3: a flood on stderr is drained and only its beginning kept", async () => {
    const losses: string[] = [];
    const engine = engineWith({
      binary: onceBad("flood", "yes flood | head -c 50000000 >&2; exit 1"),
      onChildLost: (loss) => losses.push(loss.stderr),
    });
    expect(await engine.render(good())).toMatchObject({ code: "RENDER_FAILED" });
    expect(losses[0]!.length).toBeLessThan(10_000);
    expect(await engine.render(good())).toMatchObject({ kind: "rendered" });
  });

  it("E3: a child has no environment", async () => {
    const program = join(folder, "environment");
    writeFileSync(program, `#!/bin/sh\nenv > ${program}.out\nexec ${binary} "$@"\n`);
    chmodSync(program, 0o755);
    await engineWith({ binary: program }).ready();
    expect(readFileSync(`${program}.out`, "utf8").split("\n")).toSatisfy((lines: string[]) =>
      lines.every((line) => /^(PWD=|_=|SHLVL=|OLDPWD=|$)/.test(line)),
    );
  });

  it("E4: every job is answered when the engine closes, and no child is left", async () => {
    const engine = engineWith({ binary: onceBad("closed", "exec sleep 1000") });
    const outcomes = [engine.render(good()), engine.render(good())];
    const pids = engine.pids();
    await engine.close();
    expect(await Promise.all(outcomes)).toMatchObject([{ kind: "failed" }, { kind: "failed" }]);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
    expect(await engine.render(good())).toMatchObject({ kind: "failed" });
  });

  it("says why it is not ready when the program is missing", async () => {
    const engine = engineWith({ binary: join(folder, "missing") });
    expect(await engine.ready()).toMatchObject({ kind: "failed", code: "RENDER_FAILED" });
    expect(await engineWith().ready()).toEqual({ kind: "ready" });
  });
});
