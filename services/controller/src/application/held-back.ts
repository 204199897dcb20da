// Changes seen while a step ran (pure), judged once it is over: those that it made itself are no news.
import type { AppliedObject } from "@driftless/contracts/pipeline/5-sync";
import { isNewer } from "@driftless/kube/resource-version";
import { keyText } from "@driftless/manifests/resource-key";
import type { Context } from "./context.ts";
import { want, wish } from "./look.ts";

/** Changes seen while the step ran: those that it made itself are no news. */
export function judgeHeldBack(context: Context, results: readonly AppliedObject[], at: number): Partial<Context> {
  const byKey = new Map(results.map((result) => [keyText(result), result]));
  const news = context.heldBack.filter((held) => {
    const result = byKey.get(keyText(held.key));
    if (!result) return true;
    if (held.change === "deleted") return result.outcome !== "pruned";
    return isNewer(held.resourceVersion, result.live?.resourceVersion ?? "");
  });
  if (news.length === 0) return { heldBack: [] };
  return { heldBack: [], ...want(context, heldBackWish({ ...context, heldBack: news }, at)) };
}

export const driftText = (news: readonly { key: { kind: string; name: string } }[]): string =>
  `${news[0]!.key.kind} ${news[0]!.key.name} changed${news.length > 1 ? ` and ${news.length - 1} more` : ""}`;

export const heldBackWish = (context: Context, at: number) =>
  wish("drift", at, { by: context.heldBack[0]!.by, detail: driftText(context.heldBack) }, { from: "diff" });
