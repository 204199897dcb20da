// When drift may be healed at once, and which news of a source is news.
import { expect, test } from "vitest";
import type { Context } from "./context.ts";
import { decide, decideInCharge, mayHealAtOnce } from "./decision.ts";
import { onSourceChanged } from "./look.ts";
import { POLICY_USUAL } from "./policy.ts";

const healable = (over: Partial<Context> = {}): Context =>
  ({
    view: {
      ref: { uid: "u" },
      desired: {
        automated: { prune: true, selfHeal: true, allowEmpty: false },
        options: {},
        syncOptionTexts: [],
        windows: [],
      },
      sourceHash: "s",
      policy: { ...POLICY_USUAL, waveTimeoutMs: 0, healHooks: false },
    },
    hooks: [{ name: "pre" }],
    objects: [],
    render: { sourceHash: "s", sources: [{ observations: { r: 100 } }] },
    heal: { attempts: 0, finishedAt: 0, requestId: "", objects: [], by: [], since: 0 },
    observationSeen: { r: 100 },
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
  ["its source is another than that of the last render", { render: { sourceHash: "other", sources: [] } }],
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

const NOW = Date.parse("2026-01-01T12:00:00Z");

/** An app whose last sync of what is desired now ended like this, a moment ago. */
function ended(state: Record<string, unknown>, over: Record<string, unknown> = {}, info: [string, string][] = []) {
  const context = healable({ render: { sourceHash: "s", renderKey: "k", sources: [{ revision: "abc" }] } as never });
  const { view } = context;
  return {
    ...context,
    verdict: "OutOfSync",
    objects: [{ key: { kind: "ConfigMap", name: "cm" }, status: "OutOfSync", extra: false }],
    operationState: {
      finishedAt: "2026-01-01T11:59:59Z",
      operation: {
        info: [["driftless.io/source-hash", "s"], ["driftless.io/render-key", "k"], ...info].map(([name, value]) => ({
          name,
          value,
        })),
      },
      ...state,
    },
    view: { ...view, desired: { ...view.desired, ...over } },
  } as unknown as Context;
}

test("a failed sync is tried again after a pause that doubles up to ten minutes, and its failure is shown", () => {
  const failed = (again: string) =>
    decide(ended({ phase: "Failed", message: "no" }, {}, [["driftless.io/sync-again", again]]), NOW);
  const pauses = ["0", "1", "4", "50"].map((again) => failed(again) as { kind: string; delayMs: number });
  expect(pauses.map(({ kind }) => kind)).toEqual(["pause", "pause", "pause", "pause"]);
  const [first, second, fifth, last] = pauses.map(({ delayMs }) => delayMs + 1_000);
  expect([second! / first!, fifth! / first!]).toEqual([2, 16]);
  expect(first! >= 10_000 && first! <= 12_500 && last! >= 600_000 && last! <= 750_000).toBe(true);
  expect(failed("0")).toMatchObject({
    condition: { type: "SyncError", message: "[APPLY_FAILED] Failed last sync attempt to abc: no" },
  });
  const later = decide(ended({ phase: "Failed", message: "no" }), NOW + 15_000);
  expect(later).toMatchObject({ kind: "sync", partial: false });
  expect((later as { request: { field: object } }).request.field).toMatchObject({
    info: [{ name: "driftless.io/sync-again", value: "1" }],
  });
});

test.each([
  ["retry.limit is 0", { phase: "Failed" }, { retry: { limit: 0 } }],
  ["its retries are used up", { phase: "Failed" }, { retry: { limit: 3 } }],
  ["somebody ended it", { phase: "Failed", message: "Operation terminated" }, {}],
])("a failed sync is not begun again on the same commit when %s", (_, state, over) => {
  expect(decide(ended(state, over), NOW + 86_400_000)).toMatchObject({ kind: "refuse" });
});

test("with retry.limit -1 it is begun again for ever", () => {
  expect(decide(ended({ phase: "Failed" }, { retry: { limit: -1 } }), NOW + 86_400_000).kind).toBe("sync");
});

test("a pinned app waits for the end of its pin, however far it is, and says so", () => {
  const context = ended({ phase: "Succeeded" });
  const policy = { ...context.view.policy, pinnedUntil: NOW + 90 * 86_400_000 };
  const pinned = { ...context, view: { ...context.view, policy } };
  expect(decide(pinned, NOW)).toMatchObject({
    kind: "pause",
    delayMs: 86_400_000,
    condition: { type: "PinnedWarning", message: expect.stringMatching(/^\[SYNC_PINNED\] .*2026-04-01T12:00:00/) },
  });
  expect(mayHealAtOnce({ ...healable(), view: pinned.view }, NOW)).toBe(false);
  expect(decide(pinned, policy.pinnedUntil).kind).toBe("sync");
});

test("a heal is a partial sync without hooks unless self-heal-hooks asks for all of it", () => {
  const context = ended({ phase: "Succeeded" });
  const policy = { ...context.view.policy, healHooks: true };
  expect(decide(context, NOW)).toMatchObject({ kind: "sync", partial: true });
  expect(decide({ ...context, view: { ...context.view, policy } }, NOW)).toMatchObject({
    kind: "sync",
    partial: false,
    request: { field: { sync: { autoHealAttemptsCount: 1 } } },
  });
});

test("self-heal paced without back-off waits its timeout after every operation", () => {
  const context = ended({ phase: "Succeeded" });
  const heal = { ...context.view.policy.heal, backoffMs: 0, timeoutMs: 5_000 };
  const paced = {
    ...context,
    heal: { ...context.heal, finishedAt: NOW - 1_000 },
    view: { ...context.view, policy: { ...context.view.policy, heal } },
  };
  expect(decide(paced, NOW)).toEqual({ kind: "pause", delayMs: 4_000 });
});

test("with --observe what would be synced or healed is only told", () => {
  const object = { key: { kind: "ConfigMap", name: "c" }, status: "OutOfSync", fields: [] };
  const drifted = healable({ verdict: "OutOfSync", objects: [object] } as never);
  const watching = { ...drifted, view: { ...drifted.view, observed: true as const } };
  expect(decide(drifted, NOW).kind).toBe("sync");
  expect(decide(watching, NOW)).toEqual({ kind: "none" });
  expect(decideInCharge(watching, NOW).kind).toBe("sync");
  expect(mayHealAtOnce(watching, NOW)).toBe(false);
});
