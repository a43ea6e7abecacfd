const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

interface CalendarTimeProps {
  readonly at: string;
  /** Only the day. */
  readonly day?: boolean;
}

/** Date and time in the reader's time zone. Unlike `RelativeTime`, it doesn't change, so long lists can have it. */
export function CalendarTime({ at, day = false }: CalendarTimeProps) {
  return <time dateTime={at}>{(day ? date : time).format(Date.parse(at))}</time>;
}
