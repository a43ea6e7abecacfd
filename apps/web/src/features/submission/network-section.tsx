import { SegmentedControl, Text, Textarea } from "@mantine/core";
import { FormSection } from "../../forms/form-section.tsx";
import type { FormValues } from "./form-model.ts";
import type { SectionProps } from "./section-props.ts";

export function NetworkSection({ values, errorOf, change }: SectionProps) {
  return (
    <FormSection title="Network">
      <SegmentedControl
        fullWidth
        maw={460}
        aria-label="Network"
        value={values.egress}
        onChange={(egress) => change({ egress: egress as FormValues["egress"] })}
        data={[
          { value: "default", label: "Default" },
          { value: "none", label: "None" },
          { value: "public", label: "Internet" },
          { value: "allow", label: "Allow-list" },
        ]}
      />
      {values.egress === "default" && (
        <Text size="xs" c="dimmed" mt="xs">
          The executor's default: the public internet if it can enforce that policy, else no network.
        </Text>
      )}
      {values.egress === "allow" && (
        <Textarea
          mt="sm"
          label="Destinations"
          description="One per line: NAME[:PORT], *.NAME[:PORT] or an address range"
          placeholder={"packages.example.com:443\n*.example.org"}
          autosize
          minRows={2}
          value={values.allow}
          onChange={(event) => change({ allow: event.currentTarget.value })}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
        />
      )}
      {errorOf("egress") && (
        <Text size="xs" c="var(--mantine-color-error)" mt={4} role="alert">
          {errorOf("egress")}
        </Text>
      )}
    </FormSection>
  );
}
