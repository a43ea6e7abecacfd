import type { ConnectionTable } from "../host/connection-table.ts";

/** One sandbox's share of the kernel's connection table, which the host, the executor and all sandboxes share. */
export interface ConnectionLimits {
  readonly connections: ConnectionLimit;
  /**
   * Limits for connections to the resolver. For UDP, only the number at the same time is limited, because the kernel
   * forgets them soon.
   */
  readonly lookUps: ConnectionLimit;
  /** Whether sandboxes' connections can have separate timeouts, so that the kernel forgets closed ones sooner. */
  readonly hasTimeouts: boolean;
}

export interface ConnectionLimit {
  /**
   * Maximum number at the same time. The kernel does not count closed connections, although they stay in the table for
   * a while.
   */
  readonly open: number;
  /**
   * Maximum number of new ones at once, and per second after that. Limits the closed connections that are still in the
   * table.
   */
  readonly burst: number;
  readonly perSecond: number;
}

/** Timeouts of sandboxes' connections in seconds, if the kernel supports them. */
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

/** 32 hostile sandboxes together can fill the table. At 3/4, new connections of all sandboxes are paused. */
const shares = 32;
const maxShare = 8192;
const minShare = 512;

/**
 * Every entry of the table is open, or was created within the last `closedSeconds`, or was open before that. So a
 * sandbox has at most `open + burst + perSecond * closedSeconds` entries, which is its share.
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
