import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { errorWords } from "../api-client/error-words.ts";
import { announce } from "./announcer.tsx";
import { ErrorNote } from "./error-note.tsx";

interface ConfirmDialogProps<T> {
  /** The question: `Remove ada?` */
  readonly title: string;
  /** The consequences. */
  readonly children: ReactNode;
  readonly confirmLabel: string;
  readonly cancelLabel: string;
  /** Whether the action takes something away, so that its button is red. */
  readonly destructive?: boolean;
  /** Text that has to be typed before the action, if it can't be undone. */
  readonly typed?: string;
  readonly action: () => Promise<T>;
  /** What screen readers say after the action. */
  readonly done: string;
  readonly onClose: () => void;
  /** Called after the action. Default: `onClose`. */
  readonly onDone?: (result: T) => void;
}

/** Asks before an action, and shows why it failed. */
export function ConfirmDialog<T>({
  title,
  children,
  confirmLabel,
  cancelLabel,
  destructive = true,
  typed,
  action,
  done,
  onClose,
  onDone = onClose,
}: ConfirmDialogProps<T>) {
  const [text, setText] = useState("");
  const { mutate, isPending, error } = useMutation({
    mutationFn: action,
    onSuccess: (result) => {
      announce(done);
      onDone(result);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  return (
    <Modal opened onClose={onClose} title={title} centered>
      <form onSubmit={submit}>
        <Stack gap="md">
          {children}
          {typed !== undefined && (
            <TextInput
              label={`Type ${typed} to confirm`}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autoComplete="off"
              spellCheck={false}
              autoCapitalize="none"
              data-autofocus
            />
          )}
          {error && <ErrorNote words={errorWords(error)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose} {...(typed === undefined ? { "data-autofocus": true } : {})}>
              {cancelLabel}
            </Button>
            <Button
              type="submit"
              {...(destructive ? { color: "red.9" } : {})}
              loading={isPending}
              disabled={typed !== undefined && text.trim() !== typed}
            >
              {confirmLabel}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
