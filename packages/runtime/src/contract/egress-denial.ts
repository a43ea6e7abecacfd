/** A destination or name that a sandbox tried to reach and its egress policy denied. */
export type EgressDenial =
  | { readonly kind: "connection"; readonly address: string; readonly port: number; readonly protocol: "tcp" | "udp" }
  /** A name that the resolver refused, or whose addresses are all denied. */
  | {
      readonly kind: "name";
      readonly name: string;
      /** Refused because the sandbox looks up too much, whatever the name. Reported once. Default: no. */
      readonly isOverLimit?: true;
    };
