/** What a host can enforce. */
export interface EgressCapabilities {
  readonly public: boolean;
  readonly allow: boolean;
  /** Whether sandboxes get IPv6: only where the host has it. */
  readonly ipv6: boolean;
  /** One sentence each on what is missing or weaker than it could be, and how to fix it. */
  readonly notes: readonly string[];
  /** The same for sandboxes that are attached by our own link: an engine opens the host's firewall to its own bridges. */
  readonly linkNotes: readonly string[];
}
