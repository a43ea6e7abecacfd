/** A checkout that is held: it stays until it is released. */
export interface HeldCheckout extends Disposable {
  /** The tree as the workspace is to look like. */
  readonly tree: string;
  readonly commit: string;
}
