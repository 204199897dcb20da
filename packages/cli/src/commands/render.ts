// `driftless render`: what a directory of a working tree renders to, by the same engine as in the cluster. Nothing but
// files below the repository's root is read, and nothing is fetched.
import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { failure, failureText } from "@driftless/contracts/failure";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import type { BundleEntry, RenderedManifest, RenderJob, RenderOutcome } from "@driftless/render-engine/protocol";
import { parse, stringify } from "yaml";
import { CliError, EXIT } from "../cli-error.ts";
import { note, say } from "../output.ts";

export interface RenderOptions {
  name?: string;
  namespace?: string;
  helmSet?: string[];
  values?: string[];
  kubeVersion?: string;
  apiVersion?: string[];
  output: "yaml" | "json";
}

/** Each asking may name the next file. */
const ROUNDS_MAX = 20;

export async function render(path: string, options: RenderOptions): Promise<void> {
  const directory = resolve(path);
  const found = await lstat(directory).catch(() => undefined);
  if (!found?.isDirectory()) throw new CliError(`${path} is not a directory.`, EXIT.usage);
  const engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
  try {
    const outcome = await renderTree(directory, options, (job) => engine.render(job));
    if (outcome.kind === "failed") {
      throw new CliError(
        failureText(failure(outcome.code, outcome.message, { file: outcome.file, line: outcome.line })),
      );
    }
    if (outcome.kind === "plugin") {
      throw new CliError(`The plugin ${outcome.plugin.name ?? ""} renders this, and only its workers can.`);
    }
    if (outcome.kind === "need") {
      const charts = outcome.charts.map((chart) => `${chart.name} ${chart.version} of ${chart.repository}`);
      throw new CliError(
        charts.length > 0
          ? `A chart is missing in charts/: ${charts.join(", ")}. Bring it there with \`helm dependency build\`.`
          : `The render asks for more files without end: ${outcome.paths.slice(0, 3).join(", ")}.`,
      );
    }
    for (const warning of outcome.warnings) note(`${warning.file ? `${warning.file}: ` : ""}${warning.message}`);
    const texts = outcome.manifests.map(textOf);
    if (options.output === "json") return say(`[${texts.join(",\n")}]`);
    for (const text of texts) say(`---\n${yamlOf(text)}`);
  } finally {
    await engine.close();
  }
}

const textOf = ({ apiVersion, kind, metadata, body }: RenderedManifest): string =>
  `{"apiVersion":${JSON.stringify(apiVersion)},"kind":${JSON.stringify(kind)},"metadata":${metadata}${body && `,${body}`}}`;

/** Whole numbers stay whole, however long; `yes` and the like are quoted, because Kubernetes reads YAML 1.1. */
export const yamlOf = (json: string): string =>
  stringify(parse(json, { intAsBigInt: true }), { version: "1.1" }).trimEnd();

/** Renders until nothing is missing that the working tree has. */
export async function renderTree(
  directory: string,
  options: Omit<RenderOptions, "output">,
  engine: (job: RenderJob) => Promise<RenderOutcome>,
): Promise<RenderOutcome> {
  const root = await repositoryRoot(directory);
  const path = relative(root, directory).split(sep).join("/");
  const tree = new WorkingTree(root);
  await tree.add(path);
  const parameters = (options.helmSet ?? []).map((text) => {
    const [name, ...value] = text.split("=");
    return { name, value: value.join("=") };
  });
  const helm = {
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(options.values?.length ? { valueFiles: options.values } : {}),
  };
  for (let round = 0; ; round++) {
    const outcome = await engine({
      path: path || ".",
      appName: options.name ?? basename(directory),
      ...(Object.keys(helm).length > 0 ? { helm } : {}),
      ...(options.kubeVersion !== undefined && { kubeVersion: options.kubeVersion }),
      ...(options.apiVersion && { apiVersions: options.apiVersion }),
      environment: { namespace: options.namespace ?? "default", project: "default" },
      entries: [...tree.entries.values()],
      complete: [...tree.complete],
      absent: [...tree.absent],
    });
    if (outcome.kind !== "need" || outcome.paths.length === 0 || round === ROUNDS_MAX) return outcome;
    for (const wanted of outcome.paths) await tree.add(wanted);
  }
}

/** The nearest directory above with a `.git`; without one the directory stands for itself. */
async function repositoryRoot(directory: string): Promise<string> {
  for (let at = directory; ; at = dirname(at)) {
    if (await lstat(join(at, ".git")).catch(() => undefined)) return at;
    if (dirname(at) === at) return directory;
  }
}

class WorkingTree {
  readonly #root: string;
  readonly entries = new Map<string, BundleEntry>();
  readonly complete = new Set<string>();
  readonly absent = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** A file, or a directory with all below it but `.git`. A link is read as a link: what it leads to is asked for. */
  async add(path: string): Promise<void> {
    // On the way there as well: the disk would follow a link to wherever it leads.
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      const parent = path.slice(0, at);
      const through = await lstat(join(this.#root, parent)).catch(() => undefined);
      if (through?.isSymbolicLink()) return await this.#addFile(parent, true);
    }
    const found = await lstat(join(this.#root, path)).catch(() => undefined);
    if (!found || path.split("/").includes("..")) this.absent.add(path);
    else if (found.isDirectory()) {
      this.complete.add(path);
      const children = await readdir(join(this.#root, path), { withFileTypes: true });
      for (const child of children.filter(({ name }) => name !== ".git")) await this.#addChild(path, child);
    } else await this.#addFile(path, found.isSymbolicLink());
  }

  async #addChild(parent: string, child: Dirent): Promise<void> {
    const path = parent === "" ? child.name : `${parent}/${child.name}`;
    if (child.isDirectory()) await this.add(path);
    else if (child.isFile() || child.isSymbolicLink()) await this.#addFile(path, child.isSymbolicLink());
  }

  async #addFile(path: string, link: boolean): Promise<void> {
    const place = join(this.#root, path);
    const bytes = link ? Buffer.from(await readlink(place)) : await readFile(place);
    this.entries.set(path, { path, bytes, kind: link ? "link" : "file" });
  }
}
