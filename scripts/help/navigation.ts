export interface NavigationGroup {
  readonly title: string;
  /** Files, relative to the root of the repository. */
  readonly files: readonly string[];
}

/** The page that `/help` shows. */
export const homeFile = "docs/README.md";

/** All pages of the documentation site in the order of its navigation. The check fails for a document without a place. */
export const navigation: readonly NavigationGroup[] = [
  { title: "Start", files: [homeFile, "docs/first-steps.md"] },
  {
    title: "Jobs",
    files: [
      "docs/job-file.md",
      "docs/job-file-reference.md",
      "docs/secrets.md",
      "docs/batch-spec.md",
      "docs/command-line.md",
    ],
  },
  {
    title: "Administration",
    files: [
      "docs/running.md",
      "docs/access.md",
      "docs/sign-in.md",
      "docs/executor-configuration.md",
      "docs/autoscaling.md",
      "docs/images.md",
      "docs/kubernetes.md",
      "docs/helm-airlock.md",
      "docs/helm-airlock-executor.md",
      "docs/helm-airlock-executor-dind.md",
      "docs/microvm.md",
      "docs/microvm-firecracker.md",
    ],
  },
  { title: "Security", files: ["docs/security.md", "docs/SPECIFICATION.md", "SECURITY.md"] },
  { title: "API", files: ["docs/api.md", "docs/webhooks.md", "docs/errors.md", "docs/protocol.md"] },
  {
    title: "Architecture",
    files: ["docs/how-a-job-travels.md", "docs/guest-protocol.md", "docs/decisions/README.md", "CHANGELOG.md"],
  },
];

/** Pages that are linked from another page instead of the navigation. */
export const unlisted = ["docs/decisions/*.md"] as const;
