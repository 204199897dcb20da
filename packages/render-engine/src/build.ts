// Where the render engine's program is: built from the Go sources beside this package, once per content.
import { join } from "node:path";
import { buildGo, type BuildProgress } from "@driftless/local/build";

export async function buildRenderEngine(onProgress?: (progress: BuildProgress) => void): Promise<string> {
  const name = "render-engine";
  const { binDir } = await buildGo({
    moduleDir: join(import.meta.dirname, ".."),
    outputs: [{ pkg: ".", name }],
    what: "the render engine",
    onProgress,
  });
  return join(binDir, name);
}
