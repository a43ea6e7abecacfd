/** A test's request to its process in a network namespace. */
export type AgentRequest =
  /** Connects and returns the result: `open <text>`, the error's code, or `timeout`. */
  | { readonly op: "tcp"; readonly host: string; readonly port: number; readonly localAddress?: string }
  /** Sends a datagram and returns the result: `open <text>`, the error's code, or `timeout`. */
  | { readonly op: "udp"; readonly host: string; readonly port: number; readonly localAddress?: string }
  /** Opens a connection that stays open. A later `echo` tells whether it still carries data. */
  | { readonly op: "hold"; readonly name: string; readonly host: string; readonly port: number }
  | { readonly op: "echo"; readonly name: string }
  /**
   * Starts sending datagrams every millisecond, `atOnce` (default: 1) to each host, and ignores errors. With a `name`,
   * the datagrams are DNS questions for it. Otherwise they have `size` bytes (default: 5).
   */
  | {
      readonly op: "flood";
      readonly hosts: readonly string[];
      readonly port: number;
      readonly atOnce?: number;
      readonly name?: string;
      readonly size?: number;
    }
  | { readonly op: "end-flood" }
  /** Sends one datagram from one socket to each of `ports` ports of each host, as fast as the kernel accepts them. */
  | { readonly op: "spread"; readonly hosts: readonly string[]; readonly ports: number }
  /** Opens and closes many connections, 256 at a time, each to another address. Returns how many were opened. */
  | { readonly op: "churn"; readonly hosts: readonly string[]; readonly port: number; readonly connections: number }
  /** Asks a name server. Returns the addresses and texts of the answer, or its rcode. */
  | {
      readonly op: "dns";
      readonly server: string;
      readonly name: string;
      readonly type: string;
      readonly transport?: "udp" | "tcp";
    }
  /** Asks a name server `count` times in sequence. Returns how often each answer came. */
  | { readonly op: "look-ups"; readonly server: string; readonly name: string; readonly count: number }
  /** Sends raw bytes and returns the response in hex, or `timeout`. */
  | { readonly op: "raw-dns"; readonly server: string; readonly hex: string }
  /**
   * Serves on all addresses: TCP on the ports in `tcp`, UDP on each pair in `udp`. Sends `<local address> <- <remote
   * address>`.
   */
  | {
      readonly op: "serve";
      readonly tcp: readonly number[];
      readonly udp: readonly { readonly address: string; readonly port: number }[];
    }
  /** Returns everything that reached this namespace's servers since the last call: `tcp|udp <local> <- <remote>`. */
  | { readonly op: "arrivals" }
  /** Starts a name server on `address`. Gives each name's answers in turn, and repeats the last one forever. */
  | { readonly op: "name-server"; readonly address: string; readonly zones: Zones }
  /** Returns the questions since the last call: `<name> <type>`. */
  | { readonly op: "questions" };

export type Zones = Readonly<Record<string, readonly (readonly ZoneRecord[])[]>>;

interface ZoneRecord {
  readonly type: "A" | "AAAA" | "CNAME" | "TXT" | "MX";
  readonly data: string;
  readonly ttl: number;
  /** Default: the question's name. */
  readonly owner?: string;
}

export interface AgentCall {
  readonly id: number;
  readonly request: AgentRequest;
}

export interface AgentAnswer {
  readonly id: number;
  readonly result: readonly string[];
}
