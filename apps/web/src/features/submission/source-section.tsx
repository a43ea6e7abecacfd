import { Autocomplete, Checkbox, Select, SimpleGrid, Textarea, TextInput } from "@mantine/core";
import { FormSection } from "../../forms/form-section.tsx";
import type { SectionProps } from "./section-props.ts";

interface SourceSectionProps extends SectionProps {
  readonly repositoryNames: readonly string[];
  readonly queueNames: readonly string[];
}

export function SourceSection({ values, errorOf, change, repositoryNames, queueNames }: SourceSectionProps) {
  return (
    <FormSection title="Source">
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        <Select
          label="Repository"
          placeholder="none: empty workspace"
          data={[...new Set([...repositoryNames, values.repository].filter(Boolean))]}
          value={values.repository || null}
          onChange={(repository) => change({ repository: repository ?? "" })}
          searchable
          clearable
          nothingFoundMessage="Unknown repository: add it under Repositories"
          error={errorOf("repository")}
        />
        <TextInput
          label="Revision"
          placeholder="HEAD"
          description="Branch, tag or commit. refs/heads/… and refs/tags/… name a branch or a tag exactly."
          inputWrapperOrder={["label", "input", "description", "error"]}
          value={values.revision}
          onChange={(event) => change({ revision: event.currentTarget.value })}
          error={errorOf("revision")}
          spellCheck={false}
        />
        <Autocomplete
          label="Queue"
          placeholder="default"
          data={[...queueNames]}
          value={values.queue}
          onChange={(queue) => change({ queue })}
          error={errorOf("queue")}
        />
        <TextInput
          label="History"
          description="Number of commits of history in the workspace, or full"
          placeholder="1"
          value={values.depth}
          onChange={(event) => change({ depth: event.currentTarget.value })}
          error={errorOf("checkout.depth")}
          spellCheck={false}
        />
        <Textarea
          label="Paths"
          description="Directories and files to check out, one per line"
          placeholder="all"
          autosize
          minRows={1}
          value={values.paths}
          onChange={(event) => change({ paths: event.currentTarget.value })}
          error={errorOf("checkout.paths")}
          spellCheck={false}
        />
        <Checkbox
          label="Fetch tags"
          description="Tags in that history, for git describe"
          mt={{ base: 0, sm: 28 }}
          checked={values.tags}
          onChange={(event) => change({ tags: event.currentTarget.checked })}
        />
      </SimpleGrid>
    </FormSection>
  );
}
