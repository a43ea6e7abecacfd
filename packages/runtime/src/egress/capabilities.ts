/** What a host can enforce. */
export interface EgressCapabilities {
  readonly public: boolean;
  readonly allow: boolean;
  /** Whether sandboxes get IPv6, which requires that the host has it. */
  readonly ipv6: boolean;
  /** One sentence for each missing or weaker part, with how to fix it. */
  readonly notes: readonly string[];
  /**
   * The same for sandboxes that the executor attaches with its own link. A container engine opens the host's firewall
   * to its own bridges.
   */
  readonly linkNotes: readonly string[];
  /** Why virtual machines can have no network although other sandboxes may, and how to fix it. `null`: they can. */
  readonly guestProblem: string | null;
}
