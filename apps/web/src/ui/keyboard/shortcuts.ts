/** `keys` are typed one after another: `g j`. */
interface Shortcut {
  readonly keys: string;
  readonly does: string;
}

interface ShortcutGroup {
  readonly title: string;
  readonly shortcuts: readonly Shortcut[];
}

export const shortcutGroups: readonly ShortcutGroup[] = [
  {
    title: "Everywhere",
    shortcuts: [
      { keys: "?", does: "Show this list" },
      { keys: "g j", does: "Go to jobs" },
      { keys: "g e", does: "Go to executors" },
      { keys: "g q", does: "Go to queues" },
      { keys: "g r", does: "Go to repositories" },
      { keys: "g s", does: "Go to secrets" },
      { keys: "c", does: "Create a job" },
    ],
  },
  {
    title: "Jobs",
    shortcuts: [
      { keys: "j", does: "Next job" },
      { keys: "k", does: "Previous job" },
      { keys: "Enter", does: "Open the job" },
    ],
  },
  {
    title: "Log",
    shortcuts: [
      { keys: "/", does: "Search in the log" },
      { keys: "n", does: "Next match (also Enter in the search field)" },
      { keys: "p", does: "Previous match (also Shift+Enter)" },
      { keys: "f", does: "Follow: jump to the end and stay there" },
      { keys: "w", does: "Wrap long lines" },
      { keys: "t", does: "Times: off, since the step's start, time of day" },
      { keys: "o", does: "Fold all groups, or open them" },
      { keys: "Home", does: "In the log: go to its start" },
      { keys: "End", does: "In the log: go to its end, and follow a live log" },
      { keys: "[", does: "Previous entry of the timeline" },
      { keys: "]", does: "Next entry of the timeline" },
    ],
  },
];

export type KeyBindings = Readonly<Record<string, () => void>>;

/** Maximum time between the two keys of a sequence, in ms. */
const sequenceMs = 1200;

/** Matches typed keys against bindings of one or two keys. The caller passes the time. */
export class KeySequence {
  private pending: { key: string; atMs: number } | undefined;

  /** Returns the action of the binding that `key` completes, if any. */
  match(bindings: KeyBindings, key: string, nowMs: number): (() => void) | undefined {
    const { pending } = this;
    this.pending = undefined;
    if (pending !== undefined && nowMs - pending.atMs <= sequenceMs) {
      const action = bindings[`${pending.key} ${key}`];
      if (action) return action;
    }
    if (Object.keys(bindings).some((binding) => binding.startsWith(`${key} `))) this.pending = { key, atMs: nowMs };
    return bindings[key];
  }
}
