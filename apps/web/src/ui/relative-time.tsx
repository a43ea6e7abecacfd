import { Tooltip } from "@mantine/core";
import { useNow } from "./clock.ts";
import { absoluteTime, relativeTime } from "./time-words.ts";

/** `3 min. ago`, updated as time passes; a tooltip shows the exact time. */
export function RelativeTime({ at }: { readonly at: string }) {
  const atMs = Date.parse(at);
  return (
    <Tooltip label={absoluteTime(atMs)} withArrow>
      <time dateTime={at}>{relativeTime(atMs, useNow())}</time>
    </Tooltip>
  );
}
