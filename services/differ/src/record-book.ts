// RecordBook (edge): what is remembered of our applies, by object. Fed by the syncer's results; kept in KV as a cache,
// one key per Application, written late and together. Whatever is lost here costs one dry run per object.
import type { Bus } from "@driftless/bus/connect";
import type { KvBucket } from "@driftless/bus/kv";
import { ObjectKey } from "@driftless/contracts/identity";
import { ObjectRecord } from "@driftless/contracts/pipeline/5-sync";
import { BUCKETS } from "@driftless/contracts/streams";
import { footprintFrom, type Footprint } from "@driftless/kube/footprint";
import { isNewer } from "@driftless/kube/resource-version";
import { keyText, type ResourceKey } from "@driftless/manifests/resource-key";
import type { Clock } from "@driftless/process/clock";
import { createLimit } from "@driftless/process/limits";
import type { Logger } from "@driftless/process/telemetry";
import { z } from "zod";
import type { Remembered } from "./judge.ts";

export interface RecordBook {
  of(server: string, key: ResourceKey): Remembered | undefined;
  /** False when it says nothing new: older than what is known, or its footprint is gone. */
  remember(app: string, server: string, key: ObjectKey, record: ObjectRecord): Promise<boolean>;
  /** The object is gone or no longer ours. */
  forget(app: string, server: string, key: ResourceKey): void;
  forgetApplication(app: string): void;
  /** Writes what is not written yet and ends. */
  close(): Promise<void>;
}

const Row = z.object({ server: z.string(), key: ObjectKey, record: ObjectRecord });
const Rows = z.array(Row);

const WRITE_DELAY_MS = 2_000;

interface Book {
  rows: Map<string, { server: string; key: ObjectKey }>;
}

export async function openRecordBook(options: { bus: Bus; clock: Clock; logger: Logger }): Promise<RecordBook> {
  const { bus, clock, logger } = options;
  const bucket = await bus.kv(BUCKETS.records);
  const remembered = new Map<string, Remembered>();
  const books = new Map<string, Book>();
  const unwritten = new Set<string>();
  let cancelWrite: (() => void) | undefined;
  let writing = Promise.resolve();

  function put(
    app: string,
    server: string,
    key: ObjectKey,
    record: ObjectRecord,
    footprint: Footprint,
    receivedAt?: number,
  ): boolean {
    const id = objectText(server, key);
    const known = remembered.get(id);
    const { uid, resourceVersion, desiredHash, imprint, appliedAt } = record;
    if (known?.uid === uid && isNewer(known.resourceVersion, resourceVersion)) return false;
    const told = known?.app === app && known.uid === uid && known.resourceVersion === resourceVersion;
    // Results are read again from the stream at each start.
    if (told && known.desiredHash === desiredHash && known.imprint === imprint) return false;
    if (known && known.app !== app) books.get(known.app)?.rows.delete(id);
    const { version } = key;
    remembered.set(id, { app, uid, resourceVersion, version, desiredHash, footprint, imprint, appliedAt, receivedAt });
    const book = books.get(app) ?? { rows: new Map() };
    books.set(app, book);
    book.rows.set(id, { server, key });
    return true;
  }

  function writeSoon(app: string): void {
    unwritten.add(app);
    cancelWrite ??= clock.setTimer(WRITE_DELAY_MS, () => {
      cancelWrite = undefined;
      writing = writing.then(write);
    });
  }

  async function write(): Promise<void> {
    const apps = [...unwritten];
    unwritten.clear();
    const limit = createLimit(16);
    await Promise.all(
      apps.map((app) =>
        limit(async () => {
          try {
            await writeBook(bucket, app, books.get(app), remembered);
          } catch (error) {
            // A cache: with the next change of the app it is written again.
            logger.debug({ err: error, app }, "records not written");
          }
        }),
      ),
    );
  }

  await load(bus, bucket, logger, put);

  return {
    of: (server, key) => remembered.get(objectText(server, key)),
    async remember(app, server, key, record) {
      const footprint = await footprintOfDigest(bus, record.footprintDigest);
      if (!footprint || !put(app, server, key, record, footprint, clock.monotonic())) return false;
      writeSoon(app);
      return true;
    },
    forget(app, server, key) {
      const id = objectText(server, key);
      if (remembered.get(id)?.app !== app) return;
      remembered.delete(id);
      books.get(app)?.rows.delete(id);
      writeSoon(app);
    },
    forgetApplication(app) {
      const book = books.get(app);
      if (!book) return;
      for (const id of book.rows.keys()) if (remembered.get(id)?.app === app) remembered.delete(id);
      books.delete(app);
      writeSoon(app);
    },
    async close() {
      cancelWrite?.();
      await writing;
      await write();
    },
  };
}

const objectText = (server: string, key: ResourceKey): string => `${server} ${keyText(key)}`;

const footprints = new Map<string, WeakRef<Footprint>>();

async function footprintOfDigest(bus: Bus, digest: string): Promise<Footprint | undefined> {
  const known = footprints.get(digest)?.deref();
  if (known) return known;
  const bytes = await bus.blobs.get(digest);
  if (!bytes) return undefined;
  const footprint = footprintFrom(Buffer.from(bytes).toString("utf8"));
  footprints.set(digest, new WeakRef(footprint));
  return footprint;
}

async function writeBook(
  bucket: KvBucket,
  app: string,
  book: Book | undefined,
  remembered: ReadonlyMap<string, Remembered>,
): Promise<void> {
  if (!book || book.rows.size === 0) return bucket.delete(app);
  const rows: z.input<typeof Rows> = [];
  for (const [id, { server, key }] of book.rows) {
    const r = remembered.get(id);
    if (!r) continue;
    const { uid, resourceVersion, desiredHash, imprint, appliedAt } = r;
    const record = { uid, resourceVersion, desiredHash, imprint, appliedAt, footprintDigest: r.footprint.digest };
    rows.push({ server, key, record });
  }
  await bucket.put(app, Buffer.from(JSON.stringify(rows)));
}

async function load(
  bus: Bus,
  bucket: KvBucket,
  logger: Logger,
  put: (app: string, server: string, key: ObjectKey, record: ObjectRecord, footprint: Footprint) => boolean,
): Promise<void> {
  const loaded: { app: string; rows: z.output<typeof Rows> }[] = [];
  const watching = await bucket.watch(({ key: app, value }) => {
    if (!value) return;
    const rows = Rows.safeParse(parsed(value));
    if (rows.success) loaded.push({ app, rows: rows.data });
    else logger.warn({ app }, "stored records are not readable; they are made again");
  });
  await watching.stop();
  const digests = new Set(loaded.flatMap(({ rows }) => rows.map(({ record }) => record.footprintDigest)));
  const limit = createLimit(16);
  // Held strongly until the records hold them.
  const found = new Map<string, Footprint>();
  await Promise.all(
    [...digests].map((digest) =>
      limit(async () => {
        const footprint = await footprintOfDigest(bus, digest);
        if (footprint) found.set(digest, footprint);
      }),
    ),
  );
  for (const { app, rows } of loaded) {
    for (const { server, key, record } of rows) {
      const footprint = found.get(record.footprintDigest);
      if (footprint) put(app, server, key, record, footprint);
    }
  }
  logger.info({ applications: loaded.length, footprints: found.size }, "records loaded");
}

function parsed(value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString("utf8"));
  } catch {
    return undefined;
  }
}
