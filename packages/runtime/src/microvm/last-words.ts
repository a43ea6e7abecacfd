const maximumLength = 2000;

/**
 * The part of a console's end that says why the machine ended: from the line of the kernel's panic, whose registers are
 * longer than this, and otherwise the end. At most 2,000 characters.
 */
export function lastWords(consoleEnd: string): string {
  const text = consoleEnd.trim();
  const panic = text.indexOf("Kernel panic - not syncing");
  return panic < 0 ? text.slice(-maximumLength) : text.slice(panic, panic + maximumLength);
}
