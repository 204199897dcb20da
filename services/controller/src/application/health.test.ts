import { parseKey } from "@driftless/manifests/resource-key";
import { expect, test } from "vitest";
import type { Context, ObjectState } from "./context.ts";
import { appHealth } from "./health.ts";

const view = { ref: { namespace: "argocd", name: "self" } } as Context["view"];

function object(key: string, status: string | undefined, more: Partial<ObjectState> = {}): ObjectState {
  const live = { uid: "u", resourceVersion: "1" };
  const health = status === undefined ? undefined : { status, message: `is ${status}` };
  return { key: { version: "v1", ...parseKey(key)! }, live, health, extra: false, ...more } as ObjectState;
}
const missing = (key: string) => object(key, undefined, { live: undefined });

test.each<[string, ObjectState[], object]>([
  ["of nothing", [], { status: "Healthy" }],
  ["without any rule", [object("/ConfigMap/n/a", undefined)], { status: "Healthy" }],
  [
    "with one object missing",
    [missing("/ConfigMap/n/a"), object("apps/Deployment/n/d", "Healthy")],
    { status: "Healthy" },
  ],
  ["with all of them missing", [missing("/ConfigMap/n/a"), missing("/Secret/n/s")], { status: "Missing" }],
  [
    "with an object whose script says Missing",
    [object("example.com/Widget/n/w", "Missing")],
    { status: "Missing", message: "Widget w: is Missing" },
  ],
  [
    "with some degraded",
    [
      object("apps/Deployment/n/d", "Progressing"),
      ...["a", "b", "c", "d"].map((name) => object(`apps/Deployment/n/${name}`, "Degraded")),
    ],
    {
      status: "Degraded",
      message: "Deployment a: is Degraded; Deployment b: is Degraded; Deployment c: is Degraded",
    },
  ],
  [
    "with a load balancer that says nothing while it waits",
    [object("/Service/n/web", "Progressing", { health: { status: "Progressing" } })],
    { status: "Progressing", message: "Service web" },
  ],
  [
    "with one degraded that is to be pruned",
    [object("/Pod/n/p", "Degraded", { extra: true })],
    { status: "Degraded", message: "Pod p: is Degraded" },
  ],
  [
    "with the broken one ignored",
    [object("/Pod/n/p", "Degraded", { healthIgnored: true }), object("/Pod/n/q", "Healthy")],
    { status: "Healthy" },
  ],
  [
    "with child Applications of unknown and missing health",
    [object("argoproj.io/Application/argocd/a", "Unknown"), object("argoproj.io/Application/argocd/b", "Missing")],
    { status: "Healthy" },
  ],
  [
    "with a degraded child Application",
    [object("argoproj.io/Application/argocd/a", "Degraded")],
    { status: "Degraded", message: "Application a: is Degraded" },
  ],
  [
    "that has itself among its objects",
    [object("argoproj.io/Application/argocd/self", "Degraded")],
    { status: "Healthy" },
  ],
])("health of an Application %s", (_what, objects, expected) => {
  expect(appHealth({ objects, view })).toEqual(expected);
});
