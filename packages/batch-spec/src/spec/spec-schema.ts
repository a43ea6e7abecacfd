import { z } from "zod";

/** Names of batch changes: word characters, dots and dashes. */
const namePattern = /^[\w.-]+$/;

const text = z.string().min(1);
const templated = (description: string) => text.describe(`${description} A template.`);

/** Every optional field may also be `null`, as in YAML's `field:` without a value. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish();

const onItem = z
  .strictObject({
    repositoriesMatchingQuery: optional(text).describe("A search query. Each repository with a match is included."),
    repository: optional(text).describe("The name of one repository."),
    branch: optional(text).describe("One branch of `repository`. The default branch if absent."),
    branches: optional(z.array(text).min(1)).describe("Several branches of `repository`."),
  })
  .meta({ oneOf: [{ required: ["repositoriesMatchingQuery"] }, { required: ["repository"] }] });

const workspaceItem = z.strictObject({
  rootAtLocationOf: text.describe("Each directory with a file of this name becomes one workspace."),
  in: optional(text).describe("Glob of repository names. All repositories if absent."),
  onlyFetchWorkspace: optional(z.boolean()).describe("Whether only the workspace's directory is fetched."),
});

/** Environment variables: `NAME` takes the value from outside, `{NAME: value}` sets it. */
const environment = z
  .union([
    z.record(text, z.string()),
    z.array(
      z
        .union([text, z.record(text, z.string())])
        .meta({ oneOf: [{ type: "string" }, { type: "object", maxProperties: 1 }] }),
    ),
  ])
  .describe("Environment variables. A bare name takes its value from the environment or from a secret.");

const output = z.strictObject({
  value: z.string().describe("Rendered after the step. A template."),
  format: optional(z.enum(["json", "yaml", "text"])).describe("How the value is parsed. Text if absent."),
});

const mount = z.strictObject({
  path: text.describe("A file or directory beside the spec."),
  mountpoint: text.describe("Absolute path in the container."),
});

const codingAgent = z.strictObject({
  type: z.enum(["codex", "claude-code"]),
  prompt: text,
});

const buildImage = z.strictObject({ run: text, baseImage: text });

const stepFields = {
  run: optional(z.string()).describe("The shell script. A template. Required in versions 1 and 2."),
  container: optional(text).describe("The image that runs the step. A template. Required in versions 1 and 2."),
  image: optional(text).describe("The name of `container` in version 3."),
  env: optional(environment),
  files: optional(z.record(text, z.string())).describe(
    "Read-only files of the container by path. Contents are templates.",
  ),
  outputs: optional(z.record(text, output)).describe("Values for later steps and for the changeset template."),
  if: optional(z.union([z.boolean(), z.string()])).describe("The step runs if this renders to `true`. A template."),
  mount: optional(z.array(mount)).describe("Local files and directories that the container sees read-only."),
  codingAgent: optional(codingAgent).describe("Version 3 only."),
  buildImage: optional(buildImage).describe("Version 3 only."),
};

const step = z.strictObject(stepFields);

const { container: _container, buildImage: _buildImage, ...hookFields } = stepFields;
const hook = z.strictObject({
  steps: z.array(
    z.strictObject({ ...hookFields, maxAttempts: optional(z.int().min(1)).describe("How often the step is tried.") }),
  ),
});

const group = z.strictObject({
  directory: text.describe("Changes below this directory belong to the group."),
  branch: text.describe("The branch of the group's changeset."),
  repository: optional(text).describe("The repository that the group applies to. All repositories if absent."),
});

const publication = z.union([z.boolean(), z.literal("draft")]);

const changesetTemplate = z.strictObject({
  title: templated("The title of each changeset."),
  body: optional(z.string()).describe("The description of each changeset. A template."),
  branch: templated("The branch that holds the changes."),
  fork: optional(z.boolean()).describe("Whether the branch is pushed to a fork."),
  commit: z.strictObject({
    message: templated("The commit message."),
    author: optional(
      z.strictObject({
        name: templated("The author's name."),
        email: templated("The author's email address."),
      }),
    ),
  }),
  published: optional(
    z.union([publication, z.array(z.record(text, publication).meta({ minProperties: 1, maxProperties: 1 }))]),
  ).describe("Whether changesets are published. Globs of repository names select a value; the last match wins."),
});

const importItem = z.strictObject({
  repository: text,
  externalIDs: z
    .array(z.union([text, z.int()]))
    .nullable()
    .meta({ uniqueItems: true }),
});

/** The YAML of a batch spec, without the rules that depend on several fields. */
export const batchSpecSchema = z.strictObject({
  version: optional(z.union([z.literal(1), z.literal(2), z.literal(3)])).describe(
    "The version of the format. 1 if absent.",
  ),
  name: z
    .string()
    .regex(namePattern, "must consist of letters, digits, `_`, `.` and `-` only")
    .describe("The name of the batch change, unique in its namespace."),
  description: optional(z.string()).describe("What the batch change is for, in Markdown."),
  on: optional(z.array(onItem)).describe("The repositories that the steps run in."),
  workspaces: optional(z.array(workspaceItem)).describe("Where the workspaces of a repository are."),
  steps: optional(z.array(step)).describe("The commands that make the changes."),
  transformChanges: optional(z.strictObject({ group: optional(z.array(group)) })).describe(
    "Splits the changes of a workspace into several changesets.",
  ),
  importChangesets: optional(z.array(importItem)).describe("Existing changesets to track."),
  changesetTemplate: optional(changesetTemplate).describe("How changesets look. Required if the spec has steps."),
  changesetHooks: optional(z.strictObject({ onCIFailure: optional(hook), onMergeConflict: optional(hook) })).describe(
    "Steps for changesets that have failed. Version 3 only.",
  ),
});

/** A step in the input of an execution, which may have fields of later versions. */
export const inputStepSchema = z.object({ ...stepFields, maxAttempts: optional(z.int().min(0)) });

export type RawBatchSpec = z.infer<typeof batchSpecSchema>;
export type RawStep = z.infer<typeof step>;
export type RawHook = z.infer<typeof hook>;
