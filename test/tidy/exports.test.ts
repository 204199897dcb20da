import { expect, test } from "vitest";
import { workspaces } from "./exports.ts";

test.each(workspaces().map((w) => [w.manifest.name, w] as const))(
  "%s exports exactly the files that others import (node test/tidy/exports.ts writes the list)",
  (_, { manifest, wanted }) => {
    expect(manifest.exports ?? {}).toEqual(wanted);
  },
);
