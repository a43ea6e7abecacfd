/** What an executor does in its namespace, as a rule of a Role. */
export interface RequiredRule {
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  /** What needs it, as the end of a sentence. */
  readonly why: string;
  /** Whether jobs run without it, too. */
  readonly optional?: boolean;
}

/** All rights that an executor needs, in the namespace of its jobs. The documentation and `validate` use this list. */
export const requiredRules: readonly RequiredRule[] = [
  { group: "", resource: "pods", verbs: ["create", "delete", "list", "watch"], why: "to run jobs" },
  // A WebSocket begins with GET. Newer API servers also ask for `create`.
  { group: "", resource: "pods/exec", verbs: ["create", "get"], why: "to reach the agent in each pod" },
  { group: "", resource: "pods/ephemeralcontainers", verbs: ["patch"], why: "to start steps" },
  { group: "", resource: "secrets", verbs: ["create"], why: "to pull images with the credentials of jobs" },
  {
    group: "networking.k8s.io",
    resource: "networkpolicies",
    verbs: ["create", "delete", "list", "update"],
    why: "to limit the networks of jobs",
  },
  {
    group: "",
    resource: "events",
    verbs: ["watch"],
    why: "to tell at once why an image can't be pulled",
    optional: true,
  },
  {
    group: "",
    resource: "namespaces",
    verbs: ["get"],
    why: "to read the namespace's Pod Security level",
    optional: true,
  },
  {
    group: "",
    resource: "resourcequotas",
    verbs: ["list"],
    why: "to show the namespace's quota",
    optional: true,
  },
];

/** The rules of the Role, as lines of YAML. */
export function manifestOfRules(): string {
  return requiredRules
    .map(
      ({ group, resource, verbs }) =>
        `  - apiGroups: ["${group}"]\n    resources: ["${resource}"]\n    verbs: [${verbs.map((verb) => `"${verb}"`).join(", ")}]`,
    )
    .join("\n");
}
