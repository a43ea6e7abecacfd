/** Something that a sandbox tried to do on the network and that its egress policy or a limit did not let it do. */
export type EgressDenial =
  | { readonly kind: "connection"; readonly address: string; readonly port: number; readonly protocol: "tcp" | "udp" }
  /** A name that the resolver refused, or whose addresses are all denied. */
  | {
      readonly kind: "name";
      readonly name: string;
      /** Refused because the sandbox looks up too much, whatever the name. Reported once. Default: no. */
      readonly isOverLimit?: true;
    }
  /** The sandbox reached a limit of the network, so that some of its connections or look-ups were slowed down or refused. */
  | { readonly kind: "limit"; readonly limit: EgressLimit };

/**
 * - `open-connections`: the sandbox has as many connections as it may have; further ones are refused.
 * - `new-connections`: it opens connections faster than it may; they are delayed.
 * - `look-ups`: it asks the name server more than it may; some questions are not answered.
 */
export type EgressLimit = "open-connections" | "new-connections" | "look-ups";
