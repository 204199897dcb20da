// When drift may be healed at once, and which news of a source is news.
import { expect, test } from "vitest";
import type { Context } from "./context.ts";
import { mayHealAtOnce } from "./decision.ts";
import { onSourceChanged } from "./look.ts";

const healable = (over: Partial<Context> = {}): Context =>
  ({
    view: { desired: { automated: { prune: true, selfHeal: true, allowEmpty: false } }, sourceHash: "s" },
    render: { sourceHash: "s", observation: 100 },
    heal: { attempts: 0, finishedAt: 0, requestId: "", objects: [], by: [], since: 0 },
    observationSeen: 100,
    ...over,
  }) as unknown as Context;

test("an app with selfHeal whose last look was good is healed at once", () => {
  expect(mayHealAtOnce(healable(), 1_000_000)).toBe(true);
});

test.each([
  ["its last look failed: what is desired is not known", { failed: { failures: [] } }],
  ["an operation runs", { operation: { id: "o" } }],
  ["somebody asked for an operation", { request: { field: {} } }],
  ["it was never rendered", { render: undefined }],
  ["its source is another than that of the last render", { render: { sourceHash: "other", observation: 100 } }],
])("nothing is healed at once while %s", (_, over) => {
  expect(mayHealAtOnce(healable(over as unknown as Partial<Context>), 1_000_000)).toBe(false);
});

test.each([
  [99, false],
  [100, false],
  [101, true],
])("with a render of observation 100, a change seen at %d makes it look: %s", (observation, looks) => {
  const at = 1_000_000;
  const cause = { kind: "poll", at: new Date(at).toISOString() };
  const message = { repository: "r", observation, apps: ["u"], cause };
  const changes = onSourceChanged(healable(), { type: "SourceChanged", at, message } as never);
  expect(Object.keys(changes).length > 0).toBe(looks);
});
