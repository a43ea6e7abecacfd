/** The hatch of an airlock. */
export function Logo({ size = 26 }: { readonly size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="16" r="14" fill="var(--mantine-primary-color-filled)" />
      <g fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round">
        <circle cx="16" cy="16" r="8.5" />
        <path d="M16 4.5v23M4.5 16h23" />
      </g>
      <circle cx="16" cy="16" r="3.4" fill="var(--mantine-primary-color-filled)" stroke="#fff" strokeWidth="2.4" />
    </svg>
  );
}
