const hourMs = 3_600_000;

/** How long a replaced token can stay valid. */
export const overlaps: readonly { readonly label: string; readonly value: string }[] = [
  { label: "ends at once", value: "0" },
  { label: "stays valid for an hour", value: String(hourMs) },
  { label: "stays valid for a day", value: String(24 * hourMs) },
  { label: "stays valid for a week", value: String(7 * 24 * hourMs) },
  { label: "stays valid for 30 days", value: String(30 * 24 * hourMs) },
];

export const defaultOverlap = String(24 * hourMs);
