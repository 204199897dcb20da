import { expect, test } from "vitest";
import { progressPrinter, type ProgressOutput } from "./progress-printer.ts";

const at = (done: number) => ({ what: "x", done, total: 100, elapsedMs: 65_000 });

function collecting(isTTY: boolean): ProgressOutput & { text: string } {
  return {
    isTTY,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

test("a log gets the first, the last and now and then a line, not one per package", () => {
  const output = collecting(false);
  const print = progressPrinter(output);
  for (let done = 1; done <= 100; done++) print(at(done));
  expect(output.text.split("\n")).toEqual(["1/100 1:05  building x (once)", "100/100 1:05  building x (once)", ""]);
});

test("a terminal gets one line that is drawn over, and goes on below it when done", () => {
  const output = collecting(true);
  const print = progressPrinter(output);
  print(at(50));
  expect(output.text).toMatch(/^\r.*█{12}░{12} 50\/100 1:05 {2}building x \(once\)$/);
  print(at(100));
  expect(output.text.endsWith("\n")).toBe(true);
});
