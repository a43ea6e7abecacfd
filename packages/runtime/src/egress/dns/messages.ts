import type { IpFamily } from "../addresses/ip-range.ts";
import type { ResolverPolicy } from "./query-policy.ts";
import type { Upstream } from "./upstream.ts";

/** Messages from the executor to the resolver process. Trusted. Slots identify sandboxes. */
export type ToResolver =
  /** The resolver replies `configured` when every later answer follows the new configuration. */
  | {
      readonly kind: "configure";
      readonly revision: number;
      readonly upstreams: readonly Upstream[];
      /** Ranges that no answer may contain in addition to the special ones, such as the instance's. */
      readonly closed: readonly string[];
      readonly port: number;
    }
  /** Starts listening for a sandbox, or replaces its policy. */
  | { readonly kind: "listen"; readonly slot: number; readonly address: string; readonly policy: ResolverPolicy }
  | { readonly kind: "unlisten"; readonly slot: number }
  /** `opened`: the addresses that are open now; `null` when opening failed. */
  | {
      readonly kind: "pinned";
      readonly request: number;
      readonly opened: readonly string[] | null;
      readonly isFull: boolean;
    };

/** Messages from the resolver process. Hostile packets may have compromised it, so the executor validates them. */
export type FromResolver =
  | { readonly kind: "ready" }
  | { readonly kind: "configured"; readonly revision: number }
  | { readonly kind: "listening"; readonly slot: number; readonly problem: string | null }
  | { readonly kind: "unlistened"; readonly slot: number }
  | {
      readonly kind: "pin";
      readonly request: number;
      readonly slot: number;
      readonly addresses: readonly { readonly family: IpFamily; readonly address: string; readonly ttl: number }[];
      readonly ports: readonly number[] | null;
    }
  | { readonly kind: "denied"; readonly slot: number; readonly name: string; readonly isOverLimit: boolean }
  /** The sandbox sends too many queries. The resolver drops them. */
  | { readonly kind: "limited"; readonly slot: number };
