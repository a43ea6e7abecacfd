import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

interface DisplayNameDialogProps {
  readonly title: string;
  readonly label: string;
  readonly value: string;
  readonly save: (displayName: string) => Promise<unknown>;
  readonly onClose: () => void;
}

/** Changes the display name of a user or an organization. Their name can't be changed. */
export function DisplayNameDialog({ title, label, value, save, onClose }: DisplayNameDialogProps) {
  const [text, setText] = useState(value);
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => save(text.trim()),
    onSuccess: () => {
      announce(`${label} saved`);
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["displayName"]);
  return (
    <Modal opened onClose={onClose} title={title}>
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="md">
          <TextInput
            label={label}
            value={text}
            onChange={(event) => {
              setText(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("displayName")}
            maxLength={100}
            data-autofocus
          />
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
