/** What a test asks of the process that it keeps in a network namespace. */
export type AgentRequest =
  /** Connects, and answers what came back: `open <text>`, or the error's code, or `timeout`. */
  | { readonly op: "tcp"; readonly host: string; readonly port: number; readonly localAddress?: string }
  /** Sends a datagram: `open <text>` when an answer comes, the error's code or `timeout`. */
  | { readonly op: "udp"; readonly host: string; readonly port: number; readonly localAddress?: string }
  /** Opens a connection that stays; later `echo` says whether it still carries data. */
  | { readonly op: "hold"; readonly name: string; readonly host: string; readonly port: number }
  | { readonly op: "echo"; readonly name: string }
  /**
   * Begins to send datagrams every millisecond, `atOnce` (default: 1) to each host, whatever the kernel says to it.
   * With a `name` they are questions for it.
   */
  | {
      readonly op: "flood";
      readonly hosts: readonly string[];
      readonly port: number;
      readonly atOnce?: number;
      readonly name?: string;
    }
  | { readonly op: "end-flood" }
  /** Sends one datagram from one socket to each of so many ports of each host, as fast as the kernel takes them. */
  | { readonly op: "spread"; readonly hosts: readonly string[]; readonly ports: number }
  /** Opens and closes so many connections, 256 at a time and each to another address; returns how many were opened. */
  | { readonly op: "churn"; readonly hosts: readonly string[]; readonly port: number; readonly connections: number }
  /** Asks a name server: the addresses and texts of the answer, or `rcode`. */
  | {
      readonly op: "dns";
      readonly server: string;
      readonly name: string;
      readonly type: string;
      readonly transport?: "udp" | "tcp";
    }
  /** Asks a name server so many times, each time when the last answer has come; returns how often each answer came. */
  | { readonly op: "look-ups"; readonly server: string; readonly name: string; readonly count: number }
  /** Sends bytes as they are and answers the response in hex, or `timeout`. */
  | { readonly op: "raw-dns"; readonly server: string; readonly hex: string }
  /** Answers on all addresses: TCP on `tcp`, UDP on each pair of `udp`. Text: `<local address> <- <remote address>`. */
  | {
      readonly op: "serve";
      readonly tcp: readonly number[];
      readonly udp: readonly { readonly address: string; readonly port: number }[];
    }
  /** Everything that reached this namespace's servers since the last call: `tcp|udp <local> <- <remote>`. */
  | { readonly op: "arrivals" }
  /** Becomes a name server on `address`; each name's answers are given in turn, the last one for ever. */
  | { readonly op: "name-server"; readonly address: string; readonly zones: Zones }
  /** Questions since the last call: `<name> <type>`. */
  | { readonly op: "questions" };

export type Zones = Readonly<Record<string, readonly (readonly ZoneRecord[])[]>>;

interface ZoneRecord {
  readonly type: "A" | "AAAA" | "CNAME" | "TXT" | "MX";
  readonly data: string;
  readonly ttl: number;
  /** Default: the name asked for. */
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
