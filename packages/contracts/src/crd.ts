// CustomResourceDefinitions made from the contracts: names, columns and required fields are Argo CD's own, there is no
// status subresource (its clients patch `status` and `operation` on the object itself), and unknown fields are kept.
import { z } from "zod";
import { ApplicationSpec, ApplicationStatus, OperationField } from "./application.ts";
import { AppProjectSpec } from "./project.ts";

type Json = Record<string, unknown>;

interface Column {
  name: string;
  jsonPath: string;
  priority?: number;
}

interface CrdNames {
  kind: string;
  plural: string;
  shortNames: string[];
}

export interface Crd {
  apiVersion: "apiextensions.k8s.io/v1";
  kind: "CustomResourceDefinition";
  metadata: { name: string; labels: Record<string, string> };
  spec: Json;
}

/**
 * A structural schema from a zod one. zod's OpenAPI output is refused by the API server until a loose object says
 * `x-kubernetes-preserve-unknown-fields` instead of `additionalProperties: {}`, and integers have no JavaScript bounds.
 */
function structural(schema: z.ZodType): Json {
  const json = z.toJSONSchema(schema, {
    target: "openapi-3.0",
    io: "input",
    override: ({ jsonSchema }) => {
      const node = jsonSchema as Json;
      const additional = node["additionalProperties"] as Json | undefined;
      if (additional && Object.keys(additional).length === 0) {
        delete node["additionalProperties"];
        node["x-kubernetes-preserve-unknown-fields"] = true;
        if (Object.keys((node["properties"] ?? {}) as Json).length === 0) delete node["properties"];
      }
      if (node["type"] === "integer") {
        delete node["minimum"];
        delete node["maximum"];
        node["format"] = "int64";
      }
      delete node["propertyNames"];
    },
  }) as Json;
  delete json["$schema"];
  return json;
}

function crd(names: CrdNames, columns: Column[], properties: Record<string, Json>): Crd {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${names.plural}.argoproj.io`,
      labels: { "app.kubernetes.io/name": `${names.plural}.argoproj.io`, "app.kubernetes.io/part-of": "argocd" },
    },
    spec: {
      group: "argoproj.io",
      names: {
        kind: names.kind,
        listKind: `${names.kind}List`,
        plural: names.plural,
        shortNames: names.shortNames,
        singular: names.kind.toLowerCase(),
      },
      scope: "Namespaced",
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          ...(columns.length > 0
            ? { additionalPrinterColumns: columns.map((column) => ({ type: "string", ...column })) }
            : {}),
          schema: {
            openAPIV3Schema: {
              type: "object",
              required: ["metadata", "spec"],
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                ...properties,
              },
            },
          },
          subresources: {},
        },
      ],
    },
  };
}

export function applicationCrd(): Crd {
  return crd(
    { kind: "Application", plural: "applications", shortNames: ["app", "apps"] },
    [
      { name: "Sync Status", jsonPath: ".status.sync.status" },
      { name: "Health Status", jsonPath: ".status.health.status" },
      { name: "Revision", jsonPath: ".status.sync.revision", priority: 10 },
      { name: "Project", jsonPath: ".spec.project", priority: 10 },
    ],
    {
      spec: { ...structural(ApplicationSpec), required: ["destination", "project"] },
      status: structural(ApplicationStatus),
      operation: structural(OperationField),
    },
  );
}

export function projectCrd(): Crd {
  return crd({ kind: "AppProject", plural: "appprojects", shortNames: ["appproj", "appprojs"] }, [], {
    spec: structural(AppProjectSpec),
    status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  });
}

export const CRDS: readonly (() => Crd)[] = [applicationCrd, projectCrd];

/** The CRD as a YAML file. Strings are written as JSON ones, which YAML reads alike. */
export function crdText(crd: Crd): string {
  return `# Generated from packages/contracts/src (application.ts, project.ts); \`npm run unit -- -u\` writes it anew.\n${yaml(crd, "")}`;
}

function yaml(value: unknown, indent: string): string {
  if (Array.isArray(value)) {
    return value.map((item) => `${indent}- ${inline(item, `${indent}  `)}`).join("");
  }
  return Object.entries(value as Json)
    .map(([name, member]) => `${indent}${plain(name)}:${under(member, indent)}`)
    .join("");
}

const plain = (name: string): string => (/^[A-Za-z$][\w./-]*$/.test(name) ? name : JSON.stringify(name));

const isBranch = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length > 0;

function under(value: unknown, indent: string): string {
  if (!isBranch(value)) return ` ${JSON.stringify(value)}\n`;
  return `\n${yaml(value, Array.isArray(value) ? indent : `${indent}  `)}`;
}

function inline(value: unknown, indent: string): string {
  return isBranch(value) ? yaml(value, indent).trimStart() : `${JSON.stringify(value)}\n`;
}
