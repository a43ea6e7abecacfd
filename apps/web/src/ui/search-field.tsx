import { CloseButton, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import { useSearchParams } from "react-router";

const parameter = "text";

/** The text of the page's search field, which is part of the address. */
export function useSearchText(): string {
  const [search] = useSearchParams();
  return search.get(parameter)?.trim() ?? "";
}

/** Filters a list by the text `useSearchText` of the address. */
export function SearchField({ label, placeholder }: { readonly label: string; readonly placeholder: string }) {
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState(search.get(parameter) ?? "");
  const apply = useDebouncedCallback((next: string) => {
    setSearch(
      (before) => {
        const changed = new URLSearchParams(before);
        if (next.trim() === "") changed.delete(parameter);
        else changed.set(parameter, next.trim());
        return changed;
      },
      { replace: true },
    );
  }, 250);
  const change = (next: string) => {
    setText(next);
    apply(next);
  };
  return (
    <TextInput
      role="searchbox"
      aria-label={label}
      placeholder={placeholder}
      leftSection={<IconSearch size={16} aria-hidden />}
      rightSection={text !== "" && <CloseButton size="sm" aria-label="Clear the search" onClick={() => change("")} />}
      maxLength={100}
      value={text}
      onChange={(event) => change(event.currentTarget.value)}
      mb="md"
      maw={420}
    />
  );
}
