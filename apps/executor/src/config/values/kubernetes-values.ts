import { type PodVolume, reservedPaths, volumeSources } from "@airlock/runtime";
import { z } from "zod";

const labelKey = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
const dnsName = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;

const LabelKey = z.string().regex(labelKey, "is not a label's name, such as example.com/pool");
const LabelValue = z
  .string()
  .regex(labelValue, "is not a label's value: letters, digits, `-`, `_` and `.`, at most 63");
const Labels = z.record(LabelKey, LabelValue);

/** The name of an object of Kubernetes in the environment. */
export function objectName(example: string) {
  return z.string().regex(dnsName, `must be a name of lower-case letters, digits, "-" and ".", such as ${example}`);
}

/** JSON in the environment, in Kubernetes' own form. Problems name the place in it. */
export function jsonOf<T extends z.ZodType>(schema: T, example: string) {
  return z
    .string()
    .transform((text, context): z.output<T> => {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        const why = error instanceof SyntaxError ? error.message : "it can't be parsed";
        context.addIssue({ code: "custom", message: `is not JSON (${why}): write it as ${example}` });
        return z.NEVER;
      }
      const parsed = schema.safeParse(value);
      if (parsed.success) return parsed.data;
      for (const issue of parsed.error.issues.slice(0, 5)) {
        const { path } = issue;
        const message = issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
        const place = path.length === 0 ? "" : ` at ${shownPath(path)}`;
        context.addIssue({ code: "custom", message: `is wrong${place}: ${message}. Write it as ${example}` });
      }
      return z.NEVER;
    })
    .meta({ values: `JSON: \`${example}\`` });
}

function shownPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`))
    .join("");
}

const operators = ["In", "NotIn", "Exists", "DoesNotExist"] as const;
const hasValues = ({ operator, values = [] }: { operator: string; values?: readonly string[] }) =>
  operator === "Exists" || operator === "DoesNotExist" ? values.length === 0 : values.length > 0;
const valuesMessage = "In, NotIn, Gt and Lt need `values`; Exists and DoesNotExist have none";

export const NodeExpressions = z.array(
  z
    .strictObject({
      key: LabelKey,
      operator: z.enum([...operators, "Gt", "Lt"]),
      values: z.array(z.string()).exactOptional(),
    })
    .refine(hasValues, valuesMessage)
    .refine(
      ({ operator, values = [] }) =>
        !/^[GL]t$/.test(operator) || (values.length === 1 && /^-?\d+$/.test(values[0] ?? "")),
      "Gt and Lt compare with one whole number",
    ),
);

export const NodeFields = z.array(
  z.strictObject({
    key: z.literal("metadata.name", 'nodes have only the field "metadata.name"'),
    operator: z.enum(["In", "NotIn"]),
    values: z.array(z.string()).length(1, "needs exactly one value"),
  }),
);

const Selector = z.strictObject({
  matchLabels: Labels.exactOptional(),
  matchExpressions: z
    .array(
      z
        .strictObject({ key: LabelKey, operator: z.enum(operators), values: z.array(LabelValue).exactOptional() })
        .refine(hasValues, valuesMessage),
    )
    .exactOptional(),
});

export const PodTerms = z.array(
  z.strictObject({
    topologyKey: z
      .string({ error: "is required, e.g. kubernetes.io/hostname" })
      .regex(labelKey, "must be a node's label, e.g. kubernetes.io/hostname"),
    labelSelector: Selector.exactOptional(),
    namespaces: z.array(z.string().regex(dnsName)).exactOptional(),
    namespaceSelector: Selector.exactOptional(),
    matchLabelKeys: z.array(LabelKey).exactOptional(),
    mismatchLabelKeys: z.array(LabelKey).exactOptional(),
  }),
);

export const Tolerations = z.array(
  z
    .strictObject({
      key: LabelKey.exactOptional(),
      operator: z.enum(["Exists", "Equal"]).exactOptional(),
      value: LabelValue.exactOptional(),
      effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).exactOptional(),
      tolerationSeconds: z.int().exactOptional(),
    })
    .refine(
      ({ key, operator }) => key !== undefined || operator === "Exists",
      "without `key`, `operator` must be Exists",
    )
    .refine(({ operator, value }) => operator !== "Exists" || value === undefined, "Exists has no `value`")
    .refine(
      ({ effect, tolerationSeconds }) => tolerationSeconds === undefined || effect === "NoExecute",
      "`tolerationSeconds` needs the effect NoExecute",
    ),
);

export const Annotations = z.record(
  LabelKey.refine((key) => !key.startsWith("airlock."), "is a name of the executor's own annotations"),
  z.string({ error: "must be text" }),
);

/** What a volume consists of. The API server checks its content. */
function source<Name extends (typeof volumeSources)[number]>(_: Name) {
  return z
    .custom<NonNullable<PodVolume[Name]>>((value) => typeof value === "object" && value !== null, "must be an object")
    .exactOptional();
}

/** Volumes that the restricted Pod Security Standard allows. */
export const Volumes = z.array(
  z
    .strictObject({
      name: z
        .string()
        .regex(/^[a-z0-9](?:[-a-z0-9]{0,56}[a-z0-9])?$/, "must be at most 58 lower-case letters, digits and hyphens"),
      configMap: source("configMap"),
      secret: source("secret"),
      persistentVolumeClaim: source("persistentVolumeClaim"),
      emptyDir: source("emptyDir"),
      csi: source("csi"),
      ephemeral: source("ephemeral"),
      projected: source("projected"),
      hostPath: z
        .never("is not supported: steps see no directory of the node. Use a claim or an image")
        .exactOptional(),
      nfs: z.never("is not supported: use a claim of an NFS volume").exactOptional(),
    })
    .refine((volume) => Object.keys(volume).length === 2, `needs a name and one of ${volumeSources.join(", ")}`)
    .refine(
      (volume) => !JSON.stringify(volume).includes('"serviceAccountToken"'),
      "must not give steps the token of a service account",
    ),
);

export const VolumeMounts = z.array(
  z.strictObject({
    name: z.string(),
    mountPath: z
      .string()
      .regex(/^\/[^:\0]+$/, "must be an absolute path")
      .refine(
        (path) => !reservedPaths.some((reserved) => path === reserved || path.startsWith(`${reserved}/`)),
        `must be outside ${reservedPaths.join(", ")}`,
      ),
    readOnly: z.boolean().exactOptional(),
    recursiveReadOnly: z.string().exactOptional(),
    mountPropagation: z.literal("None", "is not supported").exactOptional(),
    subPath: z.never("is not possible: steps are ephemeral containers").exactOptional(),
    subPathExpr: z.never("is not possible: steps are ephemeral containers").exactOptional(),
  }),
);

/** `k=v,k=v` as labels of nodes. */
export const NodeSelector = z
  .string()
  .transform((text, context) => {
    const labels: Record<string, string> = {};
    for (const part of text.split(",").map((each) => each.trim())) {
      if (part === "") continue;
      const [key = "", ...rest] = part.split("=");
      const value = rest.join("=");
      if (rest.length > 0 && labelKey.test(key) && labelValue.test(value)) labels[key] = value;
      else context.addIssue({ code: "custom", message: `has "${part}", which is not NAME=VALUE with a node's label` });
    }
    return labels;
  })
  .meta({ values: "`NAME=VALUE,NAME=VALUE`" });

/** Names of objects, separated by commas. */
export const ObjectNames = z
  .string()
  .transform((text, context) =>
    text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
      .map((part) => {
        if (!dnsName.test(part)) context.addIssue({ code: "custom", message: `has "${part}", which is not a name` });
        return part;
      }),
  )
  .meta({ values: "names, separated by commas" });

/** CPU as Kubernetes writes it: `500m`, `2`, `0.5`. */
export const CpuQuantity = z
  .string()
  .transform((text, context) => {
    const match = /^(\d{1,7})(?:(m)|(\.\d{1,3}))?$/.exec(text);
    if (!match) {
      context.addIssue({ code: "custom", message: `"${text}" is not an amount of CPU: write it as 2, 0.5 or 500m` });
      return 0;
    }
    return match[2] ? Number(match[1]) / 1000 : Number(text);
  })
  .meta({ values: "an amount: `2`, `0.5`, `500m`" });

/** A numeric id; -1 means that none is given. */
export const UserId = z
  .string()
  .transform((text, context) => {
    const value = /^(?:-1|\d{1,10})$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= 2_147_483_647)) {
      context.addIssue({ code: "custom", message: `"${text}" is not an id from 0 to 2147483647, or -1 for none` });
    }
    return value === -1 ? undefined : value;
  })
  .meta({ values: "0…2147483647, or -1 for none" });
