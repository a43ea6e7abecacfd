/** A checkout that stays in the cache until it is released. */
export interface HeldCheckout extends Disposable {
  /** Path of the files that a workspace starts with. */
  readonly tree: string;
  readonly commit: string;
}
