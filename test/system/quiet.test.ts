// Quiet: what is in sync stays so without a write, whatever the API server defaults, rewrites and adds. Objects of every
// kind that it brings along, several of each, so that a field read wrongly shows as drift that is healed for ever.
import { expect, test } from "vitest";
import { kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { kindsToTry } from "./kube-kinds.ts";

const use = useWorld();

const COPIES = 5;
/** Kinds of which one name is all there can be, or whose name must not vary. */
const ONCE = new Set(["CustomResourceDefinition", "Namespace"]);

function copies(): string {
  const documents: unknown[] = [];
  for (let n = 0; n < COPIES; n++) {
    for (const source of kindsToTry) {
      if (n > 0 && ONCE.has(source.kind)) continue;
      const name = String(source.metadata["name"]);
      documents.push({ ...source, metadata: { ...source.metadata, name: n === 0 ? name : `copy-${n}-${name}` } });
    }
  }
  return documents.map((document) => JSON.stringify(document)).join("\n---\n");
}

test("200 objects of 40 kinds are in sync; looking again, hard, and a restart write nothing to any of them", async () => {
  const { world } = use;
  expect(new Set(kindsToTry.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(40);
  const { url } = await world.git.createRepository("kinds", { "app/all.yaml": copies() });
  await world.applications.create({ name: "kinds", repoURL: url, path: "app", automated: { selfHeal: true } });
  const { status } = await world.applications.synced("kinds");
  expect(status?.resources?.length).toBeGreaterThanOrEqual(200);

  const kinds = [...new Set(status!.resources!.map(({ group, kind }) => (group ? `${kind}.${group}` : kind)))];
  const before = await ourWrites(kinds);
  expect(before.size).toBeGreaterThanOrEqual(200);
  for (const look of ["normal", "hard", "restart"]) {
    if (look === "restart") {
      await world.services.kill();
      await world.services.start();
      await world.services.ready();
    }
    const refresh = `argocd.argoproj.io/refresh=${look === "hard" ? "hard" : "normal"}`;
    await kubectl(world, "annotate", "-n", "argocd", "application", "kinds", refresh);
    const app = await world.applications.until(
      "kinds",
      `looked again (${look})`,
      ({ metadata }) => !metadata.annotations?.["argocd.argoproj.io/refresh"],
    );
    expect(app.status?.sync?.status, look).toBe("Synced");
    expect(await ourWrites(kinds), look).toEqual(before);
  }
});

/** Object → when our manager wrote it last and what: another's write, of a controller for one, does not move it. */
async function ourWrites(kinds: string[]): Promise<Map<string, string>> {
  const list = await kubectlJson(use.world, "get", "-A", "--show-managed-fields", kinds.join(","));
  const found = new Map<string, string>();
  for (const { kind, metadata } of list.items as { kind: string; metadata: any }[]) {
    const ours = (metadata.managedFields as any[] | undefined)?.find(
      ({ manager, subresource }) => manager === "argocd-controller" && !subresource,
    );
    const id = `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;
    if (ours) found.set(id, `${ours.time} ${JSON.stringify(ours.fieldsV1)}`);
  }
  return found;
}
