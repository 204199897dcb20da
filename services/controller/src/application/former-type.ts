// What a source was before (pure), where only its files say what it is.
import type { Context } from "./context.ts";
import { INFO, infoOf } from "./operation-record.ts";

/** Whether a plugin rendered this very source when it was last synced or looked at, however little is known of it now. */
export function wasPlugin({ pass, render, operationState, view }: Context): boolean {
  const { wanted, turn } = pass!;
  if (render?.sourceHash === wanted.sourceHash) return render.sources[turn.index]!.sourceType === "Plugin";
  if (infoOf(operationState?.operation, INFO.sourceHash) !== wanted.sourceHash) return false;
  const { sourceType, sourceTypes } = view.status;
  return (wanted.desired.isMultiSource ? sourceTypes?.[turn.index] : sourceType) === "Plugin";
}
