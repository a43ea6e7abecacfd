/** A parsed batch spec. Absent fields are `undefined`, and lists that are absent are empty. */
export interface BatchSpec {
  readonly version: 1 | 2 | 3;
  readonly name: string;
  readonly description: string;
  readonly on: readonly OnRule[];
  readonly workspaces: readonly WorkspaceRule[];
  readonly steps: readonly Step[];
  readonly groups: readonly ChangesetGroup[];
  readonly importChangesets: readonly ImportChangesets[];
  readonly changesetTemplate: ChangesetTemplate | undefined;
  readonly changesetHooks: ChangesetHooks | undefined;
}

export type OnRule =
  | { readonly kind: "query"; readonly query: string }
  /** No branches mean the default branch. */
  | { readonly kind: "repository"; readonly repository: string; readonly branches: readonly string[] };

export interface WorkspaceRule {
  readonly rootAtLocationOf: string;
  /** Glob of repository names. */
  readonly in: string | undefined;
  readonly onlyFetchWorkspace: boolean;
}

export interface Step {
  readonly run: string | undefined;
  /** The image. Version 3 writes it as `image`. */
  readonly container: string | undefined;
  readonly env: readonly EnvironmentVariable[];
  readonly files: ReadonlyMap<string, string>;
  readonly outputs: ReadonlyMap<string, StepOutput>;
  readonly if: boolean | string | undefined;
  readonly mount: readonly Mount[];
  readonly codingAgent: { readonly type: "codex" | "claude-code"; readonly prompt: string } | undefined;
  readonly buildImage: { readonly run: string; readonly baseImage: string } | undefined;
  /** Only steps of hooks have it. */
  readonly maxAttempts: number | undefined;
}

/** Without a value, the variable comes from the environment or from a secret. */
export interface EnvironmentVariable {
  readonly name: string;
  readonly value: string | undefined;
}

export interface StepOutput {
  readonly value: string;
  readonly format: "json" | "yaml" | "text" | undefined;
}

export interface Mount {
  readonly path: string;
  readonly mountpoint: string;
}

export interface ChangesetGroup {
  readonly directory: string;
  readonly branch: string;
  readonly repository: string | undefined;
}

export interface ImportChangesets {
  readonly repository: string;
  readonly externalIDs: readonly string[];
}

export type Publication = boolean | "draft";

export interface PublicationRule {
  /** Glob of repository names. */
  readonly repository: string;
  readonly branch: string | undefined;
  readonly value: Publication;
}

export interface ChangesetTemplate {
  readonly title: string;
  readonly body: string;
  readonly branch: string;
  readonly fork: boolean | undefined;
  readonly commit: {
    readonly message: string;
    readonly author: { readonly name: string; readonly email: string } | undefined;
  };
  /** `undefined` leaves the decision to the user interface. */
  readonly published: Publication | readonly PublicationRule[] | undefined;
}

export interface ChangesetHooks {
  readonly onCIFailure: readonly Step[] | undefined;
  readonly onMergeConflict: readonly Step[] | undefined;
}
