import { formatDuration } from "@airlock/job";
import { useNow } from "./clock.ts";
import { growingDuration } from "./time-words.ts";

interface TickingDurationProps {
  readonly from: string;
  /** `null`: the duration still grows. */
  readonly to: string | null;
}

export function TickingDuration({ from, to }: TickingDurationProps) {
  if (to === null) return <GrowingDuration from={from} />;
  return <span>{formatDuration(Date.parse(to) - Date.parse(from))}</span>;
}

function GrowingDuration({ from }: { readonly from: string }) {
  return <span>{growingDuration(useNow() - Date.parse(from))}</span>;
}
