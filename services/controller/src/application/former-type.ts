// What a source was before (pure), where only its files say what it is.
import type { Context } from "./context.ts";
import { wantedOf } from "./look.ts";
import { INFO, infoOf } from "./operation-record.ts";

/** Whether a plugin rendered this very source when it was last synced or looked at, however little is known of it now. */
export function wasPlugin(context: Context): boolean {
  const { sourceHash } = wantedOf(context);
  const { render, operationState, view } = context;
  if (render?.sourceHash === sourceHash) return render.sourceType === "Plugin";
  return infoOf(operationState?.operation, INFO.sourceHash) === sourceHash && view.status.sourceType === "Plugin";
}
