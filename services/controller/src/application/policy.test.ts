import { expect, test } from "vitest";
import { POLICY_USUAL, appPolicy } from "./policy.ts";

test("annotations of the Application win over the installation", () => {
  const { policy, wrong } = appPolicy(
    {
      "driftless.io/sync-timeout": "10m",
      "driftless.io/wave-timeout": "90s",
      "driftless.io/self-heal-hooks": "true",
      "driftless.io/pinned-until": "2026-01-31T12:00:00+01:00",
    },
    { ...POLICY_USUAL, syncTimeoutMs: 1_000 },
  );
  expect(wrong).toEqual([]);
  expect(policy).toMatchObject({
    syncTimeoutMs: 600_000,
    waveTimeoutMs: 90_000,
    healHooks: true,
    pinnedUntil: Date.parse("2026-01-31T11:00:00Z"),
  });
});

test.each([
  ["driftless.io/sync-timeout", "soon"],
  ["driftless.io/wave-timeout", "-1s"],
  ["driftless.io/self-heal-hooks", "yes"],
  ["driftless.io/pinned-until", "tomorrow"],
])("%s: %s is refused by its path, and nothing is done for the app", (name, value) => {
  const { wrong } = appPolicy({ [name]: value }, POLICY_USUAL);
  expect(wrong).toEqual([expect.objectContaining({ code: "SPEC_INVALID", path: `metadata.annotations[${name}]` })]);
});
