import { useLocalStorage } from "@mantine/hooks";

const timeModes = ["off", "relative", "absolute"] as const;
/** How the log shows the time of each line. `relative`: since the start of the step. */
export type TimeMode = (typeof timeModes)[number];

/** The reader's choice, kept by the browser for all jobs. */
export function useTimeMode(): readonly [TimeMode, (mode: TimeMode) => void] {
  const [mode, setMode] = useLocalStorage<TimeMode>({
    key: "airlock-log-times",
    defaultValue: "off",
    getInitialValueInEffect: false,
    serialize: (value) => value,
    deserialize: timeModeOf,
  });
  return [mode, setMode];
}

/** The mode of that name. Off for any other text: other versions and extensions may have stored anything. */
export function timeModeOf(text: string | undefined): TimeMode {
  return timeModes.find((mode) => mode === text) ?? "off";
}

export function nextTimeMode(mode: TimeMode): TimeMode {
  return timeModes[(timeModes.indexOf(mode) + 1) % timeModes.length] ?? "off";
}

/** `14:03:07.250` in the reader's time zone. */
export function clockTime(timeMs: number): string {
  const time = new Date(timeMs);
  const parts = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return `${parts.join(":")}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** `+7.250`, `+3:07.250`, `+1:03:07.250`. Not below zero: the executor's clock may be ahead of the instance's. */
export function timeSince(startMs: number, timeMs: number): string {
  const ms = Math.max(0, timeMs - startMs);
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = ((ms % 60_000) / 1000).toFixed(3);
  if (hours > 0) return `+${hours}:${String(minutes).padStart(2, "0")}:${seconds.padStart(6, "0")}`;
  return minutes > 0 ? `+${minutes}:${seconds.padStart(6, "0")}` : `+${seconds}`;
}
