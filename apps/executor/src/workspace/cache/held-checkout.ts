/** A checkout that stays in the cache until it is released. */
export interface HeldCheckout extends Disposable {
  /** Path of the files that a workspace starts with. */
  readonly tree: string;
  readonly commit: string;
}

/** A checkout of the requested commit, or what to start from. */
export interface NearCheckout extends HeldCheckout {
  /**
   * The directories whose overlay is a checkout of the requested commit, topmost first. The last one is `tree`, which
   * has another commit. `undefined`: there is only `tree`.
   */
  readonly layers: readonly string[] | undefined;
}
