import { NativeSelect, TextInput } from "@mantine/core";

interface NamespaceFieldProps {
  /** The namespaces to choose from; `undefined`: any name may be typed. */
  readonly choices: readonly string[] | undefined;
  readonly description: string;
  /** Describes a name that is typed, which may be empty. */
  readonly typedDescription: string;
  readonly value: string;
  readonly error: string | undefined;
  readonly onChange: (value: string) => void;
}

/** Asks for a namespace. Users choose one of theirs, administrators may type any. */
export function NamespaceField({
  choices,
  description,
  typedDescription,
  value,
  error,
  onChange,
}: NamespaceFieldProps) {
  const shared = {
    label: "Namespace",
    value,
    error,
    onChange: (event: { readonly currentTarget: { readonly value: string } }) => onChange(event.currentTarget.value),
  };
  if (choices === undefined) return <TextInput {...shared} description={typedDescription} spellCheck={false} />;
  // A job that is run again may be of a namespace that the reader has left.
  const known = value === "" || choices.includes(value) ? choices : [...choices, value];
  return <NativeSelect {...shared} description={description} data={[...known]} />;
}
