// Builds what the suites need once into the user's cache, with progress, so that no test waits for it.
import { requirePrograms } from "@driftless/local/programs";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createProgress } from "./bench/progress.ts";

const progress = createProgress();
const onProgress = ({ what, done, total }: { what: string; done: number; total: number }): void =>
  progress.show(`building ${what}`, done, Math.max(total, 1));
const { binDir } = await requirePrograms({ onProgress });
await buildRenderEngine(onProgress);
progress.stop();
console.log(`local parts: ${binDir}`);
