import { Checkbox, SimpleGrid, Stack, Textarea, TextInput } from "@mantine/core";
import { useNamespaces } from "../../api-client/use-namespaces.ts";
import { FormSection } from "../../forms/form-section.tsx";
import { NamespaceField } from "../namespaces/namespace-field.tsx";
import { EnvFields } from "./env-fields.tsx";
import type { SectionProps } from "./section-props.ts";

export function MoreSection({ values, errorOf, change }: SectionProps) {
  const choices = useNamespaces(["owner", "member"]);
  return (
    <FormSection title="More">
      <Stack gap="sm">
        <EnvFields
          title="Labels that the executor must have"
          button="Require a label of the executor"
          rows={values.labels}
          error={errorOf("labels")}
          onChange={(labels) => change({ labels })}
        />
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Textarea
            label="Outputs"
            description="Globs of files to keep, one per line"
            autosize
            minRows={1}
            value={values.outputs}
            onChange={(event) => change({ outputs: event.currentTarget.value })}
            error={errorOf("outputs")}
            spellCheck={false}
          />
          <Checkbox
            label="Keep the workspace diff"
            description="What the steps change in the repository"
            mt={{ base: 0, sm: 28 }}
            checked={values.diff}
            onChange={(event) => change({ diff: event.currentTarget.checked })}
          />
          <Checkbox
            label="Allow uploads of code indexes"
            description="The steps can send indexes of the commit to the instance"
            mt={{ base: 0, sm: 28 }}
            checked={values.upload}
            onChange={(event) => change({ upload: event.currentTarget.checked })}
          />
          <Checkbox
            label="Provide Docker"
            description="The steps get a Docker daemon of their own, in a virtual machine"
            mt={{ base: 0, sm: 28 }}
            checked={values.docker}
            onChange={(event) => change({ docker: event.currentTarget.checked })}
          />
          <NamespaceField
            choices={choices}
            description="Decides the secrets that the job can use, and who sees it"
            typedDescription="Decides the secrets that the job can use. Empty: your own name"
            value={values.namespace}
            onChange={(namespace) => change({ namespace })}
            error={errorOf("namespace")}
          />
          <TextInput
            label="Priority"
            description="-1000 to 1000; jobs with a higher priority run first"
            placeholder="0"
            inputMode="numeric"
            value={values.priority}
            onChange={(event) => change({ priority: event.currentTarget.value })}
            error={errorOf("priority")}
          />
        </SimpleGrid>
      </Stack>
    </FormSection>
  );
}
