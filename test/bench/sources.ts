// The row of many sources: as many apps again as the bench has, a fifth of that many charts and as many overlays, cold.
import { appNamespace, appName } from "./apps.ts";
import { baseFiles, chartFiles, overlayFiles } from "./render.ts";
import { coldRow, FIRST_IMAGE, type Bench, type BenchRow } from "./rows.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const sourcesOf = (apps: number): number => Math.max(1, Math.floor(apps / 5));
const mixedName = (index: number): string => `mixed-${appName(index)}`;

export function sourceFiles(apps: number): Record<string, string> {
  const files = baseFiles("bases/web", FIRST_IMAGE);
  for (const n of numbers(sourcesOf(apps))) {
    Object.assign(files, chartFiles(`charts/chart-${n}`, `registry.example.com/web:1.${n}`));
    Object.assign(files, overlayFiles(`overlays/o-${n}`, "bases/web", `o-${n}`, `registry.example.com/web:1.${n}`));
  }
  return files;
}

/** Apps of one source stand in namespaces of their own: of an overlay they have the same names. */
function application(apps: number, index: number, repoURL: string): Record<string, unknown> {
  const sources = sourcesOf(apps);
  const [helm, source] = [index % 2 === 0, Math.floor(index / 2) % sources];
  return {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "Application",
    metadata: { name: mixedName(index), namespace: "argocd" },
    spec: {
      project: "default",
      source: { repoURL, path: helm ? `charts/chart-${source}` : `overlays/o-${source}`, targetRevision: "main" },
      destination: { server: "https://kubernetes.default.svc", namespace: namespaceOf(apps, index) },
      syncPolicy: { automated: { prune: true, selfHeal: true } },
    },
  };
}

const namespaceOf = (apps: number, index: number): string => {
  const round = Math.floor(index / 2 / sourcesOf(apps));
  return appNamespace(`mixed-${round}`, Math.floor(index / 2) % sourcesOf(apps));
};

export async function sources(bench: Bench): Promise<BenchRow[]> {
  const { apps, world, bare } = bench;
  const { url } = await world.git.createRepository("sources", sourceFiles(apps));
  for (const name of new Set(numbers(apps).map((index) => namespaceOf(apps, index)))) {
    await bare.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  const count = sourcesOf(apps);
  return await coldRow(bench, {
    row: `cold: ${apps} apps from ${count} Helm and ${count} Kustomize sources`,
    goal: 1.7,
    label: "sources",
    application: (index) => application(apps, index, url),
    expected: bench.status.at() + apps,
    notes: "the bare loop is that of the cold row",
  });
}
