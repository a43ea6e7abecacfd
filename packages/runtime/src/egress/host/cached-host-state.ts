import type { HostNetwork, HostState } from "./host-network.ts";

const maxAgeMs = 30_000;

/** The host's routes and addresses without our own. They rarely change, and reading them is the slowest part of an attachment. */
export class CachedHostState {
  readonly #network: HostNetwork;
  readonly #ownPrefix: string;
  #cached: { readonly at: number; readonly state: Promise<HostState> } | undefined;

  /** @param ownPrefix of the interfaces that are left out: the address pool knows what it gave to them. */
  constructor(network: HostNetwork, ownPrefix: string) {
    this.#network = network;
    this.#ownPrefix = ownPrefix;
  }

  read(): Promise<HostState> {
    const now = Date.now();
    if (this.#cached && now - this.#cached.at < maxAgeMs) return this.#cached.state;
    const state = this.#network.readState().then((found) => withoutOwn(found, this.#ownPrefix));
    this.#cached = { at: now, state };
    state.catch(() => this.forget());
    return state;
  }

  /** Makes the next call read anew. */
  forget(): void {
    this.#cached = undefined;
  }
}

function withoutOwn(state: HostState, prefix: string): HostState {
  const isOther = ({ device }: { readonly device: string | null }) => !device?.startsWith(prefix);
  return { ...state, routes: state.routes.filter(isOther), addresses: state.addresses.filter(isOther) };
}
