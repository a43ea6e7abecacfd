import type { ConnectionTable } from "../host/connection-table.ts";

/** What one sandbox may take of the kernel's connection table, which the host, its executor and all sandboxes share. */
export interface ConnectionLimits {
  readonly connections: ConnectionLimit;
  /** Connections to the resolver. For datagrams, only the number at the same time is limited: the kernel forgets them soon. */
  readonly lookUps: ConnectionLimit;
  /** Whether sandboxes' connections can have timeouts of their own, so that the kernel forgets closed ones sooner. */
  readonly hasTimeouts: boolean;
}

export interface ConnectionLimit {
  /** At the same time. The kernel does not count those that are closed, although they stay in the table for a while. */
  readonly open: number;
  /** New ones at once, and per second after that. They bound the closed ones that are still in the table. */
  readonly burst: number;
  readonly perSecond: number;
}

/** The timeouts in seconds of sandboxes' connections, where the kernel supports that. */
export const connectionTimeouts = {
  tcp: {
    syn_sent: 30,
    syn_recv: 30,
    // RFC 5382 REQ-5: not less than 2 hours and 4 minutes. The kernel's default is 5 days.
    established: 7440,
    fin_wait: 30,
    close_wait: 60,
    last_ack: 30,
    time_wait: 10,
    close: 10,
  },
  udp: { unreplied: 10, replied: 60 },
} as const;

/** 32 hostile sandboxes at the same time can fill the table. At 3/4 new connections of all sandboxes are paused. */
const shares = 32;
const maxShare = 8192;
const minShare = 512;

/**
 * An entry of the table is either open now, or it began within the last `closedSeconds` or was open before that. So a sandbox
 * has at most `open + burst + perSecond * closedSeconds` entries, which is its share.
 */
export function connectionLimits(
  table: Pick<ConnectionTable, "size" | "closedSeconds">,
  { hasTimeouts }: { readonly hasTimeouts: boolean },
): ConnectionLimits {
  const closedSeconds = hasTimeouts ? connectionTimeouts.tcp.time_wait : Math.max(table.closedSeconds, 1);
  const share = Math.min(Math.max(Math.floor(table.size / shares), minShare), maxShare);
  return { connections: limitFor(share, closedSeconds), lookUps: limitFor(share / 8, closedSeconds), hasTimeouts };
}

function limitFor(share: number, closedSeconds: number): ConnectionLimit {
  const fresh = share / 2;
  const burst = fresh / 2;
  return { open: share / 2, burst, perSecond: Math.max(Math.floor((fresh - burst) / closedSeconds), 1) };
}
