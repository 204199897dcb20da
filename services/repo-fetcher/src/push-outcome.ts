// What came of a push, for people: who follows what was pushed, who looks again, and when nobody does, why. Pure.
import { failureText } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import type { FollowedRevision, PushMatched, PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { canonicalRepository } from "@driftless/contracts/repository";
import { withoutCredentials } from "@driftless/process/telemetry";
import type { Outcome } from "./git-failure.ts";
import type { Followed } from "./repository.ts";

const REVISIONS_MAX = 20;
const NAMES_MAX = 50;
const NEAREST_MAX = 3;

export function whatCame({
  push,
  looked,
  nameOf,
  urls,
  at,
  tookMs,
}: {
  push: MessageOf<typeof PushReceived>;
  /** Of each owner of the repository. */
  looked: readonly Outcome<Followed[]>[];
  nameOf(id: string): string;
  urls(): readonly string[];
  at: string;
  tookMs: number;
}): MessageOf<typeof PushMatched> {
  const { ref, tag, after, by, delivery } = push;
  // Webhooks come without them; who publishes a push himself may not know better.
  const repoURL = withoutCredentials(push.repoURL).replace(/[?#].*$/, "");
  const followed = looked.flatMap((look) => (look.kind === "ok" ? look.value : [])).filter(({ count }) => count > 0);
  const concerned = followed.filter((one) => one.moved || ref === undefined || one.ref === ref);
  const shown = (concerned.length > 0 ? concerned : followed).toSorted(byConcern).slice(0, REVISIONS_MAX);
  const told = {
    at,
    repoURL,
    ...(ref !== undefined && { ref }),
    ...(tag !== undefined && { tag }),
    ...(after !== undefined && { after }),
    ...(by !== undefined && { by }),
    ...(delivery !== undefined && { delivery }),
    revisions: shown.map((one) => revisionOf(one, nameOf)),
    nearest: [],
    tookMs,
  };
  const place = canonicalRepository(repoURL);
  const failures = looked.flatMap((look) => (look.kind === "failed" ? [look.failure] : []));
  if (followed.length === 0) {
    if (failures[0]) return { ...told, outcome: "failed", why: failureText(failures[0]) };
    const nearest = nearestTo(place, urls());
    const hint = nearest.length > 0 ? `; followed is ${nearest.join(", ")}` : "";
    const why = `no Application has a source in ${place}${hint}`;
    return { ...told, nearest, outcome: "repository-not-followed", why };
  }
  if (concerned.length === 0) {
    const wanted = shown.map(({ targetRevision, count }) => `${targetRevision || "HEAD"} (${count})`).join(", ");
    return { ...told, outcome: "ref-not-followed", why: `no Application follows ${short(ref!)}; followed: ${wanted}` };
  }
  const total = concerned.reduce((sum, { count }) => sum + count, 0);
  const woken = concerned.reduce((sum, { moved }) => sum + (moved?.told.length ?? 0), 0);
  const what = ref === undefined ? place : short(ref);
  const who = `${total} ${total === 1 ? "source" : "sources"} following ${what}`;
  if (woken > 0)
    return { ...told, outcome: "woken", why: `${woken} of ${who} ${woken === 1 ? "looks" : "look"} again` };
  if (concerned.some(({ moved }) => moved))
    return { ...told, outcome: "unchanged", why: `nothing that is read by ${who} is another` };
  const is = concerned[0]!.at;
  const elsewhere = after !== undefined && is !== undefined && concerned.length === 1 && after !== is;
  const why = elsewhere
    ? `the server has ${what} at ${is}, as before, and not at the ${after} that was told`
    : `${what} was there already when this was told: a poll or another delivery came before`;
  return { ...told, outcome: "known", why };
}

const byConcern = (a: Followed, b: Followed): number =>
  Number(b.moved !== undefined) - Number(a.moved !== undefined) || b.count - a.count;

function revisionOf({ targetRevision, ref, at, moved, count, ids }: Followed, nameOf: (id: string) => string) {
  const told = new Set(moved?.told);
  const others: string[] = [];
  for (const id of ids) {
    if (others.length === NAMES_MAX) break;
    if (!told.has(id)) others.push(nameOf(id));
  }
  const revision: FollowedRevision = {
    targetRevision,
    ...(ref !== undefined && { ref }),
    ...(moved?.from !== undefined && { from: moved.from }),
    ...(at !== undefined && { to: at }),
    sources: count,
    wokenTotal: told.size,
    woken: [...told].slice(0, NAMES_MAX).map(nameOf),
    others,
  };
  return revision;
}

const short = (ref: string): string => ref.replace(/^refs\/(heads|tags)\//, "");

/** The same repository by another host or below another folder; else what else of the same owner is followed. */
function nearestTo(place: string, urls: readonly string[]): string[] {
  const parts = place.split("/");
  const known = urls.map((url) => ({ url, parts: canonicalRepository(url).split("/") }));
  const named = known.filter((one) => one.parts.at(-1) === parts.at(-1));
  const owned = known.filter((one) => one.parts.slice(0, -1).join("/") === parts.slice(0, -1).join("/"));
  return (named.length > 0 ? named : owned).slice(0, NEAREST_MAX).map(({ url }) => url);
}
