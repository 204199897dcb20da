// Sync windows: whom they concern, what they let through when, and what comes of time zones and overruns.
import type { SyncWindow } from "@driftless/contracts/project";
import { expect, test } from "vitest";
import { closedFor, windowsFor } from "./sync-windows.ts";

const at = (text: string) => Date.parse(`2026-11-25T${text}Z`);
const NIGHT = { schedule: "0 22 * * *", duration: "1h30m", applications: ["*"] };
const DAY = { schedule: "0 8 * * *", duration: "10h", applications: ["*"] };
const allow = (more: Partial<SyncWindow> = {}): SyncWindow => ({ kind: "allow", ...DAY, ...more });
const deny = (more: Partial<SyncWindow> = {}): SyncWindow => ({ kind: "deny", ...NIGHT, ...more });
const AUTOMATED = { isManual: false };
const MANUAL = { isManual: true };

const APP = { name: "shop-web", destination: { server: "https://prod.example.com", namespace: "shop" } };

test.each([
  ["an application", { applications: ["shop-*"] }, true],
  ["another application", { applications: ["other"] }, false],
  ["a namespace", { namespaces: ["sho?"] }, true],
  ["a cluster", { clusters: ["https://prod.*"] }, true],
  ["a cluster by a name that the Application does not say", { clusters: ["prod"] }, false],
  ["one of several", { applications: ["other"], clusters: ["none"], namespaces: ["shop"] }, true],
  ["all of several", { applications: ["shop-*"], clusters: ["*"], namespaces: ["shop"], andOperator: true }, true],
  ["not all of several", { applications: ["shop-*"], namespaces: ["other"], andOperator: true }, false],
  ["nothing", {}, false],
  ["nothing, all of it", { andOperator: true }, false],
])("a window for %s", (_what, more, concerns) => {
  const window = { kind: "deny", schedule: "* * * * *", duration: "1m", ...more };
  expect(windowsFor([window], APP)).toHaveLength(concerns ? 1 : 0);
});

test("without a window nothing is closed", () => {
  expect(closedFor([], at("22:10:00"), AUTOMATED)).toBeUndefined();
});

test.each([
  ["21:59:59.999", undefined],
  ["22:00:00", "23:30:00"],
  ["23:29:59.999", "23:30:00"],
  ["23:30:00", undefined],
])("a deny window closes from its start until its end: %s", (time, until) => {
  const closed = closedFor([deny()], at(time), AUTOMATED);
  expect(closed?.until).toBe(until && at(until));
  if (until) expect(closed?.why).toBe("deny '0 22 * * *' for 1h30m");
});

test.each([
  ["07:59:59", at("08:00:00")],
  ["08:00:00", undefined],
  ["17:59:59", undefined],
  ["18:00:00", at("08:00:00") + 86_400_000],
])("outside of its allow windows nothing is synced: %s", (time, until) => {
  expect(closedFor([allow()], at(time), AUTOMATED)?.until).toBe(until);
});

test("one open allow window is enough, but not against a denial", () => {
  const late = allow({ schedule: "0 17 * * *", duration: "6h" });
  expect(closedFor([allow(), late], at("21:00:00"), AUTOMATED)).toBeUndefined();
  expect(closedFor([allow(), late, deny()], at("22:10:00"), AUTOMATED)).toMatchObject({
    until: at("08:00:00") + 86_400_000,
  });
  // The denial ends while the allow window is still open.
  expect(closedFor([late, deny({ duration: "30m" })], at("22:10:00"), AUTOMATED)?.until).toBe(at("22:30:00"));
});

test("a manual sync passes where every window that closes has manualSync", () => {
  const yes = { manualSync: true };
  expect(closedFor([deny(yes)], at("22:10:00"), MANUAL)).toBeUndefined();
  expect(closedFor([deny(yes)], at("22:10:00"), AUTOMATED)).toBeDefined();
  expect(closedFor([deny(yes), deny()], at("22:10:00"), MANUAL)).toBeDefined();
  expect(closedFor([allow(yes)], at("02:00:00"), MANUAL)).toBeUndefined();
  expect(closedFor([allow(yes), allow({ duration: "1h" })], at("02:00:00"), MANUAL)).toBeDefined();
  // Only the windows that close are asked.
  expect(closedFor([allow(), deny(yes)], at("22:10:00"), MANUAL)).toBeUndefined();
});

test("an operation runs over into a deny window, or out of an allow window, where that says so and it was let begin", () => {
  const over = { syncOverrun: true };
  const begun = { isManual: false, startedAt: at("21:59:00") };
  expect(closedFor([deny(over)], at("22:10:00"), begun)).toBeUndefined();
  expect(closedFor([deny()], at("22:10:00"), begun)).toBeDefined();
  expect(closedFor([deny(over), deny()], at("22:10:00"), begun)).toBeDefined();
  expect(closedFor([deny(over)], at("22:10:00"), { ...begun, startedAt: at("22:05:00") })).toBeDefined();
  expect(closedFor([deny(over)], at("22:10:00"), AUTOMATED)).toBeDefined();
  const inside = { isManual: false, startedAt: at("17:59:00") };
  expect(closedFor([allow(over)], at("18:10:00"), inside)).toBeUndefined();
  expect(closedFor([allow()], at("18:10:00"), inside)).toBeDefined();
});

test("windows that follow one another close until the last of them ends", () => {
  const windows = [deny(), deny({ schedule: "0 23 * * *", duration: "2h" }), deny({ schedule: "0 1 * * *" })];
  expect(closedFor(windows, at("22:10:00"), AUTOMATED)?.until).toBe(at("02:30:00") + 86_400_000);
  expect(closedFor([deny({ schedule: "*/30 22-23 * * *" })], at("22:10:00"), AUTOMATED)?.until).toBe(
    at("01:00:00") + 86_400_000,
  );
});

test("what never opens by itself says no time", () => {
  expect(closedFor([deny({ schedule: "* * * * *", duration: "2m" })], at("22:10:00"), AUTOMATED)).toEqual({
    why: "deny '* * * * *' for 2m",
  });
  expect(closedFor([allow({ schedule: "0 0 31 2 *" })], at("22:10:00"), AUTOMATED)?.until).toBeUndefined();
});

test("windows that never open together are not followed for ever", () => {
  const windows = [deny({ schedule: "* * * * *", duration: "2m" }), allow({ schedule: "*/7 * * * *", duration: "1m" })];
  expect(closedFor(windows, at("22:10:00"), AUTOMATED)).toEqual({ why: "deny '* * * * *' for 2m" });
});

test("schedules are in their time zone, which changes its offset", () => {
  const vienna = { timeZone: "Europe/Vienna", schedule: "0 22 * * *", duration: "1h" };
  expect(closedFor([deny(vienna)], at("21:10:00"), AUTOMATED)?.until).toBe(at("22:00:00"));
  expect(closedFor([deny(vienna)], Date.parse("2026-07-01T20:30:00Z"), AUTOMATED)?.until).toBe(
    Date.parse("2026-07-01T21:00:00Z"),
  );
  expect(closedFor([deny({ ...vienna, timeZone: "Asia/Kolkata" })], at("16:30:00"), AUTOMATED)).toBeDefined();
  expect(closedFor([deny({ ...vienna, timeZone: "Asia/Kolkata" })], at("16:29:59"), AUTOMATED)).toBeUndefined();
  // From summer to winter time: opens by the clock of then.
  const opening = allow({ ...vienna, schedule: "0 8 * * *", duration: "1h" });
  expect(closedFor([opening], Date.parse("2026-10-24T12:00:00Z"), AUTOMATED)?.until).toBe(
    Date.parse("2026-10-25T07:00:00Z"),
  );
});

test.each([
  ["a schedule", { schedule: "0 25 * * *" }, "cannot parse schedule '0 25 * * *'"],
  ["a duration", { duration: "1 day" }, "cannot parse duration '1 day'"],
  ["a time zone", { timeZone: "Europe/Nowhere" }, "there is no time zone 'Europe/Nowhere'"],
  ["a kind", { kind: "forbid" }, "a window is neither allow nor deny, but 'forbid'"],
])("%s that cannot be read blocks, for everybody", (_what, more, why) => {
  expect(closedFor([deny(more)], at("12:00:00"), AUTOMATED)).toEqual({ why });
  expect(closedFor([allow(), deny(more)], at("12:00:00"), { ...MANUAL, startedAt: 0 })).toEqual({ why });
});
