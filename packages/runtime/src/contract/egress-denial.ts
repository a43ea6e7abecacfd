/** A network access of a sandbox that its egress policy or a limit denied. */
export type EgressDenial =
  | { readonly kind: "connection"; readonly address: string; readonly port: number; readonly protocol: "tcp" | "udp" }
  /** A name that the resolver refused, or all of whose addresses are denied. */
  | {
      readonly kind: "name";
      readonly name: string;
      /** Refused because the sandbox makes too many queries, whatever the name. Reported once. Default: no. */
      readonly isOverLimit?: true;
    }
  /** The sandbox reached a network limit, so some of its connections or queries were delayed or refused. */
  | { readonly kind: "limit"; readonly limit: EgressLimit };

/**
 * The network limits of a sandbox:
 * - `open-connections`: the sandbox has the maximum number of open connections; further ones are refused.
 * - `new-connections`: it opens connections too fast; they are delayed.
 * - `look-ups`: it sends too many DNS queries; some are not answered.
 */
export type EgressLimit = "open-connections" | "new-connections" | "look-ups";
