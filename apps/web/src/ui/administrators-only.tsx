import { Loader } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { useAdministrator } from "../api-client/use-administrator.ts";
import { EmptyState } from "./empty-state.tsx";

/** Shows a page of the administration, or says who may open it. */
export function AdministratorsOnly({ children }: { readonly children: ReactNode }) {
  const administrator = useAdministrator();
  if (administrator === undefined) return <Loader type="dots" aria-label="Loading" />;
  if (administrator) return children;
  return (
    <EmptyState icon={IconLock} title="Only for administrators" order={1}>
      Ask an administrator of this instance to do this for you, or to make you an administrator.
    </EmptyState>
  );
}
