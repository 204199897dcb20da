// Schedules mean what robfig/cron makes of them: its starts were asked once and written down.
import { expect, test } from "vitest";
import { scheduleOf } from "./schedule.ts";

const FROM = Date.parse("2026-11-25T10:00:00Z"); // A Wednesday.

test.each([
  ["* * * * *", ["11-25T10:01", "11-25T10:02"]],
  ["0 22 * * *", ["11-25T22:00", "11-26T22:00"]],
  ["*/20 10 * * *", ["11-25T10:20", "11-25T10:40", "11-26T10:00"]],
  ["5/20 10 * * *", ["11-25T10:05", "11-25T10:25", "11-25T10:45", "11-26T10:05"]],
  ["10-12,30 9-11 * * ?", ["11-25T10:10", "11-25T10:11", "11-25T10:12", "11-25T10:30", "11-25T11:10"]],
  ["0 0 * JAN,dec MON-wed", ["12-01T00:00", "12-02T00:00", "12-07T00:00"]],
  // Either of both days counts, unless one of them is every day.
  ["0 0 27 * MON", ["11-27T00:00", "11-30T00:00", "12-07T00:00"]],
  ["0 0 */1 * MON", ["11-30T00:00", "12-07T00:00"]],
  ["0 0 */13 * MON", ["11-27T00:00", "11-30T00:00", "12-01T00:00"]],
])("%s", (text, starts) => {
  const schedule = scheduleOf(text)!;
  const found: string[] = [];
  for (let at = FROM; found.length < starts.length; at = schedule.next(at)!) {
    found.push(new Date(schedule.next(at)!).toISOString().slice(5, 16));
  }
  expect(found).toEqual(starts);
});

test("a start is after the time that is asked about", () => {
  const schedule = scheduleOf("0 10 * * *")!;
  expect(schedule.next(FROM)).toBe(FROM + 86_400_000);
  expect(schedule.next(FROM - 1)).toBe(FROM);
  expect(schedule.next(FROM)).toBe(FROM + 86_400_000);
});

test("a day that never comes has no start", () => {
  expect(scheduleOf("0 0 31 2 *")!.next(FROM)).toBeUndefined();
});

test.each([
  "",
  "* * * *",
  "0 * * * * *",
  "@daily",
  "60 * * * *",
  "* 24 * * *",
  "* * 0 * *",
  "* * * 13 *",
  "* * * * 7",
  "* * * * SUNDAY",
  "5-1 * * * *",
  "*/0 * * * *",
  "1-2-3 * * * *",
  "* * L * *",
  "* * * * 1#2",
  "1,, * * * *",
  "TZ=UTC * * * * *",
])("%j is none", (text) => {
  expect(scheduleOf(text)).toBeUndefined();
});
