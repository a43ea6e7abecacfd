import { useState } from "react";

export interface Selection {
  has(id: number): boolean;
  set(id: number, selected: boolean): void;
  setAll(ids: readonly number[], selected: boolean): void;
  clear(): void;
}

/** The selected rows of a list, by id. */
export function useSelection(): Selection {
  const [ids, setIds] = useState<ReadonlySet<number>>(new Set());
  const setAll = (changed: readonly number[], selected: boolean) =>
    setIds((before) => {
      const next = new Set(before);
      for (const id of changed) {
        if (selected) next.add(id);
        else next.delete(id);
      }
      return next;
    });
  return {
    has: (id) => ids.has(id),
    set: (id, selected) => setAll([id], selected),
    setAll,
    clear: () => setIds(new Set()),
  };
}
