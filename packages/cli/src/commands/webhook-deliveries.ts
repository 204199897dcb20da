// `driftless webhook deliveries`: what was pushed of late, which Applications follow it, which of them were woken, and
// why when none was.
import { on, replay } from "@driftless/bus/consume";
import type { MessageOf } from "@driftless/contracts/message";
import { PushMatched, PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { STREAMS } from "@driftless/contracts/streams";
import { systemClock } from "@driftless/process/clock";
import { withBus, type ConnectionOptions } from "../connection.ts";
import { age, note, paint, say, sayJson, shortRevision } from "../output.ts";

type Delivery = MessageOf<typeof PushMatched>;
type Push = MessageOf<typeof PushReceived>;

const NAMES_SHOWN = 5;

export async function webhookDeliveries(
  options: ConnectionOptions & { limit: number; output?: string },
): Promise<void> {
  const deliveries: Delivery[] = [];
  const pushes: Push[] = [];
  await withBus(options, async (bus) => {
    await replay(bus, {
      stream: STREAMS.pushes,
      filters: STREAMS.pushes.subjects,
      which: "all",
      handlers: [on(PushReceived, async (push) => void pushes.push(push))],
    });
    await replay(bus, {
      stream: STREAMS.deliveries,
      filters: STREAMS.deliveries.subjects,
      which: "all",
      handlers: [on(PushMatched, async (delivery) => void deliveries.push(delivery))],
    });
  });
  const told = new Set(deliveries.map(({ delivery }) => delivery));
  const waiting = pushes.filter(({ delivery }) => delivery !== undefined && !told.has(delivery));
  const shown = deliveries.slice(-options.limit);
  if (options.output === "json") return sayJson({ deliveries: shown, waiting });
  if (shown.length + waiting.length === 0)
    return note("No push has been told in seven days. Webhooks go to /api/webhook; `driftless status` shows the URL.");
  for (const delivery of shown) sayDelivery(delivery);
  for (const { repoURL, delivery } of waiting)
    say(
      `${paint("yellow", "waiting")}  ${repoURL}  ${delivery}: no repo-fetcher has looked yet (do the services run?)`,
    );
}

function sayDelivery(told: Delivery): void {
  const { at, repoURL, ref, tag, after, by, delivery, outcome, why, revisions } = told;
  const when = `${age(at, systemClock.now())} ago`;
  const what = [repoURL, ref ?? tag, shortRevision(after), by && `by ${by}`].filter(Boolean).join("  ");
  const word = paint(outcome === "woken" ? "green" : outcome === "unchanged" ? "dim" : "yellow", outcome);
  say(`${when.padEnd(9)} ${word}  ${what}${delivery ? paint("dim", `  ${delivery}`) : ""}`);
  say(`    ${why}`);
  for (const { targetRevision, woken, wokenTotal, others, sources } of revisions) {
    const parts = [
      wokenTotal > 0 && `woken ${named(woken, wokenTotal)}`,
      sources > wokenTotal && `not ${named(others, sources - wokenTotal)}`,
    ];
    say(`    ${targetRevision || "HEAD"}: ${parts.filter(Boolean).join("; ")}`);
  }
}

function named(names: readonly string[], total: number): string {
  const more = total - Math.min(names.length, NAMES_SHOWN);
  return `${names.slice(0, NAMES_SHOWN).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
