import type { IpFamily } from "../addresses/ip-range.ts";
import type { ResolverPolicy } from "./query-policy.ts";
import type { Upstream } from "./upstream.ts";

/** From the executor to the resolver's process; trusted. Sandboxes are identified by their slots. */
export type ToResolver =
  /** Answered with `configured` once every answer from then on obeys it. */
  | {
      readonly kind: "configure";
      readonly revision: number;
      readonly upstreams: readonly Upstream[];
      /** Ranges that no answer may contain besides the special ones, e.g. the instance's. */
      readonly closed: readonly string[];
      readonly port: number;
    }
  /** Also replaces the policy of a sandbox that is listened to already. */
  | { readonly kind: "listen"; readonly slot: number; readonly address: string; readonly policy: ResolverPolicy }
  | { readonly kind: "unlisten"; readonly slot: number }
  /** `opened`: those of the addresses that are open now; `null`: it failed. */
  | {
      readonly kind: "pinned";
      readonly request: number;
      readonly opened: readonly string[] | null;
      readonly isFull: boolean;
    };

/** From the resolver's process, which hostile packets may have taken over: checked by the executor. */
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
  /** The sandbox sends more queries than it may; they are dropped. */
  | { readonly kind: "limited"; readonly slot: number };
