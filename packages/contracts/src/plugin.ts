// Plugins: how anybody adds a renderer, in any language, as a worker on NATS.
//
//   subject   driftless.v1.plugin.<name>   the name of `spec.source.plugin.name`, a dot in it written `_`
//   queue     subscribe with a queue group (say the plugin's name): each job goes to one of the workers
//   request   PluginJob as JSON        reply   PluginAnswer as JSON, to the message's reply subject
//
// The files of the source come by digest: each of `files.chunks` is a subject to send an empty request to, the answer is
// a piece; all pieces joined are gzip'd JSON, a list of PluginFile. Equal files have equal digests, so they may be kept.
//
// A worker gives up by itself after `limits.deadlineMs` and answers `failed` with `limit: true`. No answer at all counts
// as a worker that died: PLUGIN_UNAVAILABLE, and the job is given to whoever listens then.
import { z } from "zod";
import { encodeToken, subject } from "./subject.ts";

/** What a plugin may be called: Kubernetes' names, and the version that Argo CD appends. */
const PLUGIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Undefined: no plugin can be called so. */
export const pluginSubject = (name: string): string | undefined =>
  PLUGIN_NAME.test(name) ? subject("plugin", encodeToken(name)) : undefined;

/**
 * What a worker may put into the bucket PLUGINS, as JSON under any key (say its name), so that sources of which nobody
 * says the type are found by their files. It stays until somebody deletes it: whose workers are away is waited for, and
 * never rendered as something else.
 */
export const PluginDeclaration = z.looseObject({
  name: z.string().regex(PLUGIN_NAME),
  discover: z.looseObject({
    /** Go's path.Match on a path below the source's directory: `*` does not cross `/`. */
    fileName: z.string().optional(),
    /** The same with `**`; counts where there is no fileName. */
    glob: z.string().optional(),
  }),
});
export type PluginDeclaration = z.infer<typeof PluginDeclaration>;

export const PluginFile = z.looseObject({
  /** From the repository's root, without a leading slash. */
  path: z.string(),
  kind: z.enum(["file", "executable", "symlink"]),
  /** Base64; of a symlink its target, which lies inside the repository. */
  content: z.string(),
});
export type PluginFile = z.infer<typeof PluginFile>;

export const PluginJob = z.looseObject({
  plugin: z.string(),
  /** The source's directory, from the repository's root; "" is the root itself. */
  path: z.string(),
  /** sha-256 of the joined pieces. */
  files: z.looseObject({ digest: z.string(), bytes: z.number().int(), chunks: z.array(z.string()) }),
  /** `spec.source.plugin.parameters`, as they stand there. */
  parameters: z.array(z.looseObject({})),
  /** `ARGOCD_APP_…`, `ARGOCD_ENV_<name>`, `ARGOCD_APP_PARAMETERS` (JSON), `PARAM_<NAME>[_<key or index>]`, as Argo CD's plugins get them. */
  environment: z.record(z.string(), z.string()),
  limits: z.looseObject({
    deadlineMs: z.number().int(),
    /** Of the manifests, unpacked. An answer must also fit into one NATS message (1 MiB by default): use `gzip`. */
    outputBytesMax: z.number().int(),
  }),
});
export type PluginJob = z.infer<typeof PluginJob>;

export const PluginAnswer = z.discriminatedUnion("kind", [
  z.looseObject({
    kind: z.literal("rendered"),
    /** YAML documents, or JSON: an object or a list of objects. */
    manifests: z.string().optional(),
    /** The same, gzip'd and base64, instead of `manifests`. */
    gzip: z.string().optional(),
    /** Anything that changes when the plugin turns the same files into other manifests. */
    version: z.string().default(""),
    /** The `ARGOCD_APP_…` variables that had a part in it; without a list all of them, so that each commit is rendered. */
    variables: z.array(z.string()).optional(),
  }),
  z.looseObject({
    kind: z.literal("failed"),
    message: z.string(),
    file: z.string().optional(),
    line: z.number().int().optional(),
    /** It is over one of `limits`. */
    limit: z.boolean().optional(),
  }),
]);
export type PluginAnswer = z.infer<typeof PluginAnswer>;
