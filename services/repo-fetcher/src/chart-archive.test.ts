import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import type { Header } from "tar-stream";
import { expect, test } from "vitest";
import { blobOid, unpackArchive } from "./chart-archive.ts";

async function tgz(files: [Partial<Header> & { name: string }, (string | Buffer)?][]): Promise<Buffer> {
  const tar = pack();
  for (const [header, content] of files) tar.entry(header as Header, content ?? "");
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}
const chart: [{ name: string }, string][] = [
  [{ name: "web/Chart.yaml" }, "name: web"],
  [{ name: "web/templates/a.yaml" }, "kind: A"],
];
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "ok",
    (error: { code: string; which?: string }) => [error.code, error.which].filter(Boolean).join(" "),
  );

test("a chart's files stand without their one directory, with the oids Git would give them", async () => {
  const entries = await unpackArchive("web", await tgz([[{ name: "web/", type: "directory" }], ...chart]));
  expect([...entries].map(([path, e]) => `${path} ${e.kind} ${Buffer.from(e.bytes).toString()}`)).toEqual([
    "Chart.yaml file name: web",
    "templates/a.yaml file kind: A",
  ]);
  // As `printf 'hello\n' | git hash-object --stdin` says.
  expect(blobOid(Buffer.from("hello\n"))).toBe("ce013625030ba8dba906f756967f9e9ca394464a");
  expect([...(await unpackArchive("web", await tgz(chart), { strip: false })).keys()]).toContain("web/Chart.yaml");
});

test.each([
  ["a symlink", [{ name: "web/x", type: "symlink", linkname: "/etc/passwd" }]],
  ["a hard link", [{ name: "web/x", type: "link", linkname: "../../etc/passwd" }]],
  ["a device", [{ name: "web/x", type: "character-device" }]],
  ["a fifo", [{ name: "web/x", type: "fifo" }]],
  ["a name that climbs", [{ name: "web/../../etc/x" }, "x"]],
  ["an absolute name", [{ name: "/etc/x" }, "x"]],
  ["a name for another system", [{ name: "web\\..\\x" }, "x"]],
  ["a drive", [{ name: "C:/web/x" }, "x"]],
  ["a control character", [{ name: "web/a\nb" }, "x"]],
  ["Git's own directory", [{ name: "web/.git/config" }, "x"]],
  ["a file beside the chart's directory", [{ name: "Chart.yaml" }, "x"]],
  ["a name twice", [{ name: "web/./Chart.yaml" }, "other"]],
  ["a file where a directory is", [{ name: "web/templates" }, "x"]],
] as [string, [Partial<Header> & { name: string }, string?]][])("%s is refused", async (_, entry) => {
  expect(await codeOf(unpackArchive("web", await tgz([...chart, entry])))).toBe("CHART_INVALID");
});

test("what is no archive, is cut off or is empty is refused", async () => {
  const good = await tgz(chart);
  for (const bytes of [Buffer.alloc(0), Buffer.from("<html>"), good.subarray(0, 60), gzipSync("text"), await tgz([])])
    expect(await codeOf(unpackArchive("web", bytes))).toBe("CHART_INVALID");
});

test("bombs end at their limit: ratio, bytes, files, depth", async () => {
  const zeros = await tgz([[{ name: "web/zeros" }, Buffer.alloc(40 * 1024 * 1024)]]);
  expect(zeros.byteLength).toBeLessThan(100_000);
  const before = process.memoryUsage.rss();
  expect(await codeOf(unpackArchive("web", zeros))).toBe("FETCH_LIMIT unpackedBytes");
  expect(process.memoryUsage.rss() - before).toBeLessThan(150 * 1024 * 1024);
  const many = await tgz(Array.from({ length: 300 }, (_, n) => [{ name: `web/${n}` }, "x"]));
  expect(await codeOf(unpackArchive("web", many, { limits: { filesMax: 100 } }))).toBe("FETCH_LIMIT files");
  expect(await codeOf(unpackArchive("web", many, { limits: { unpackedBytesMax: 10_000 } }))).toBe(
    "FETCH_LIMIT unpackedBytes",
  );
  expect(await codeOf(unpackArchive("web", many, { limits: { archiveBytesMax: 10 } }))).toBe(
    "FETCH_LIMIT archiveBytes",
  );
  const deep = await tgz([[{ name: `web/${"d/".repeat(90)}x` }, "x"]]);
  expect(await codeOf(unpackArchive("web", deep))).toBe("FETCH_LIMIT depth");
});
