import type { HostNetwork, HostState } from "./host-network.ts";

const maxAgeMs = 30_000;

/**
 * Caches the host's routes and addresses, without those of the owner's interfaces. They rarely change, and reading them
 * is the slowest part of an attachment.
 */
export class CachedHostState {
  readonly #network: HostNetwork;
  readonly #ownPrefix: string;
  #cached: { readonly at: number; readonly state: Promise<HostState> } | undefined;

  /** @param ownPrefix Prefix of the interfaces to leave out. The address pool already knows their addresses. */
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

  /** Makes the next call read the state again. */
  forget(): void {
    this.#cached = undefined;
  }
}

function withoutOwn(state: HostState, prefix: string): HostState {
  const isOther = ({ device }: { readonly device: string | null }) => !device?.startsWith(prefix);
  return { ...state, routes: state.routes.filter(isOther), addresses: state.addresses.filter(isOther) };
}
