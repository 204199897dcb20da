import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { defaultPackLimits, oidOf, unpack } from "./pack.ts";
import type { GitObject } from "./pack.ts";

const none = () => undefined;
const blob = (text: string): GitObject => ({ type: "blob", bytes: Buffer.from(text) });

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

function entry(type: number, content: Buffer, base = Buffer.alloc(0), size = content.byteLength): Buffer {
  const head = [(type << 4) | (size & 15)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    head[head.length - 1]! |= 128;
    head.push(rest % 128);
  }
  return Buffer.concat([Buffer.from(head), base, deflateSync(content)]);
}

function pack(...entries: Buffer[]): Buffer {
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
  head.writeUInt32BE(entries.length, 8);
  const body = Buffer.concat([head, ...entries]);
  return Buffer.concat([body, createHash("sha1").update(body).digest()]);
}

/** "everything of the base, then `tail`" */
const delta = (base: GitObject, tail: string, claimed = base.bytes.byteLength + tail.length) =>
  Buffer.from([
    ...varint(base.bytes.byteLength),
    ...varint(claimed),
    0x90,
    base.bytes.byteLength,
    tail.length,
    ...Buffer.from(tail),
  ]);

const code = async (bytes: Buffer, limits = defaultPackLimits) =>
  unpack(bytes, none, limits).then(
    () => "ok",
    (error: { code?: string; which?: string }) => `${error.code} ${error.which ?? ""}`.trim(),
  );

test("objects come out with their own oids, deltas before or after their base, and from outside the pack", async () => {
  const [one, outside] = [blob("first\n"), blob("outside\n")];
  const oidBytes = (object: GitObject) => Buffer.from(oidOf(object), "hex");
  const { objects, withoutBase } = await unpack(
    pack(
      entry(7, delta(one, "second\n"), oidBytes(one)),
      entry(3, one.bytes),
      entry(7, delta(outside, "third\n"), oidBytes(outside)),
      entry(7, delta(blob("nowhere"), "x"), oidBytes(blob("nowhere"))),
    ),
    (oid) => (oid === oidOf(outside) ? outside : undefined),
  );
  expect([...objects.values()].map((o) => o.bytes.toString()).sort()).toEqual([
    "first\n",
    "first\nsecond\n",
    "outside\nthird\n",
  ]);
  expect([...objects].every(([oid, object]) => oidOf(object) === oid)).toBe(true);
  expect(withoutBase).toBe(1);
});

test("a damaged pack is FETCH_CORRUPT wherever it is damaged", async () => {
  const good = pack(entry(3, Buffer.from("hello")), entry(3, Buffer.from("there")));
  expect(await code(good)).toBe("ok");
  for (let at = 0; at < good.byteLength; at += 1) {
    const damaged = Buffer.from(good);
    damaged[at]! ^= 0x41;
    expect(await code(damaged)).toBe("FETCH_CORRUPT");
    expect(await code(good.subarray(0, at))).toBe("FETCH_CORRUPT");
  }
  // Right checksum, wrong contents.
  const base = Buffer.from(oidOf(blob("b")), "hex");
  for (const odd of [
    pack(entry(0, Buffer.from("x"))),
    pack(entry(5, Buffer.from("x"))),
    pack(entry(3, Buffer.from("x"), undefined, 2)),
    pack(entry(3, Buffer.from("long"), undefined, 2)),
    pack(entry(3, blob("b").bytes), entry(7, Buffer.from([1, 5, 0x90, 9]), base)),
    pack(entry(3, blob("b").bytes), entry(7, Buffer.from([1, 5, 0]), base)),
    pack(entry(3, blob("b").bytes), entry(7, Buffer.from([9, 5, 0x90, 1]), base)),
    pack(entry(6, delta(blob("b"), "x"), Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f]))),
    Buffer.concat([pack(entry(3, Buffer.from("x"))), Buffer.alloc(4)]),
  ])
    expect(await code(odd)).toBe("FETCH_CORRUPT");
});

test("an object, a delta or a pack that claims too much is FETCH_LIMIT before the memory is taken", async () => {
  const b = blob("b");
  const bomb = pack(entry(3, b.bytes), entry(7, delta(b, "x", 2 ** 40), Buffer.from(oidOf(b), "hex")));
  expect(await code(bomb)).toBe("FETCH_LIMIT objectBytes");
  expect(await code(pack(entry(3, Buffer.from("x"), undefined, 2 ** 31)))).toBe("FETCH_LIMIT objectBytes");
  const two = pack(entry(3, Buffer.alloc(600, 1)), entry(3, Buffer.alloc(600, 2)));
  expect(await code(two, { ...defaultPackLimits, unpackedBytesMax: 1000 })).toBe("FETCH_LIMIT unpackedBytes");
  expect(await code(two, { ...defaultPackLimits, objectsMax: 1 })).toBe("FETCH_LIMIT objects");
});

test(
  "a delta that waits for itself is left out, and a long chain does not overflow the stack",
  { timeout: 30_000 },
  async () => {
    const self = oidOf(blob("whatever"));
    const cycle = await unpack(pack(entry(7, delta(blob("x"), "y"), Buffer.from(self, "hex"))), none);
    expect(cycle).toMatchObject({ withoutBase: 1 });
    // 20,000 deltas, each on the next one, the base last.
    const parts = [entry(3, Buffer.from("a"))];
    let before = blob("a");
    for (let i = 0; i < 20_000; i += 1) {
      const next = blob(String(i));
      const bytes = Buffer.from([
        ...varint(before.bytes.byteLength),
        ...varint(next.bytes.byteLength),
        next.bytes.byteLength,
        ...next.bytes,
      ]);
      parts.unshift(entry(7, bytes, Buffer.from(oidOf(before), "hex")));
      before = next;
    }
    const { objects } = await unpack(pack(...parts), none);
    expect(objects.size).toBe(20_001);
  },
);
