// What a render looked at and the repository does not hold (pure): files that are pointers of Git LFS, and directories
// that are submodules. Taken as they are, a manifest would be skipped, or a text applied that nobody meant, and what Argo CD
// deployed of them would be pruned: so they are refused by their path.
import { failure, type Failure } from "@driftless/contracts/failure";
import { type BundleFiles, isLfsPointer } from "@driftless/manifests/bundle";
import type { EngineFailure, Rendered, RenderReads } from "@driftless/render-engine/protocol";

export function contentless(files: BundleFiles, outcome: Rendered | EngineFailure): Failure | undefined {
  const { reads } = outcome;
  if (!reads) return undefined;
  const module = submoduleOf(files, outcome, reads);
  if (module !== undefined) {
    return failure("RENDER_SUBMODULE", `${module} is a submodule, whose files are not in this repository.`, {
      file: module,
    });
  }
  const pointers = reads.files.filter((path) => isPointer(files, path));
  const pointer =
    pointers.find((path) => !isOnlyCarried(path, outcome)) ?? (isShown(outcome) ? pointers[0] : undefined);
  if (pointer === undefined) return undefined;
  return failure("RENDER_LFS_POINTER", `${pointer} is a pointer of Git LFS, not the file itself.`, { file: pointer });
}

function isPointer({ bundle }: BundleFiles, path: string): boolean {
  const entry = bundle.entries.get(path);
  return entry !== undefined && (entry.kind === "file" || entry.kind === "executable") && isLfsPointer(entry.bytes);
}

/** What was read, with what was refused: another kind of entry there is a change. */
export const readsWith = (reads: RenderReads, { file }: Failure): RenderReads =>
  file === undefined || reads.files.includes(file) ? reads : { ...reads, files: [...reads.files, file] };

/** The submodule that something was looked for in. */
function submoduleOf(
  { bundle }: BundleFiles,
  outcome: Rendered | EngineFailure,
  { files, missed, listings }: RenderReads,
): string | undefined {
  const modules = [...bundle.entries].flatMap(([path, { kind }]) => (kind === "submodule" ? [path] : []));
  if (modules.length === 0) return undefined;
  const looked = [...files, ...missed, ...listings];
  const inOne = modules.find((module) => looked.some((path) => path === module || path.startsWith(`${module}/`)));
  if (inOne !== undefined) return inOne;
  if (outcome.kind === "rendered") return submoduleWithin(outcome);
  // Kustomize says what it did not find.
  return modules.find((module) => outcome.message.split(/[^\w./-]+/).includes(module));
}

/** As the render engine says it of one that it met where it looks into every directory. */
const NOT_FOLLOWED = "A submodule is not followed.";

const submoduleWithin = ({ type, warnings }: Rendered): string | undefined =>
  warnings.find(
    // What else a chart brings, it need not use.
    ({ message, file = "" }) =>
      message === NOT_FOLLOWED && (type !== "Helm" || /(^|\/)(templates|crds|charts)\//.test(file)),
  )?.file;

/** A chart and a plugin are given all files of their directory, whatever they use of them. */
function isOnlyCarried(path: string, outcome: Rendered | EngineFailure): boolean {
  if (outcome.kind === "failed") return path !== outcome.file && !isParsed(path);
  return outcome.type === "Plugin" || (outcome.type === "Helm" && !isParsed(path));
}

const isParsed = (path: string): boolean =>
  /(^|\/)(templates|crds)\//.test(path) || /\.(ya?ml|json|jsonnet|libsonnet|tpl|tgz)$/.test(path);

/** A pointer's beginning as it is, or as a Secret has it. */
const BEGINNINGS = ["version https://git-lfs.github.com/spec/", "dmVyc2lvbiBodHRwczovL2dpdC1sZnMuZ2l0aHViLmNvbS9zcGVj"];

const isShown = (outcome: Rendered | EngineFailure): boolean =>
  outcome.kind === "rendered" && outcome.manifests.some(({ body }) => BEGINNINGS.some((text) => body.includes(text)));
