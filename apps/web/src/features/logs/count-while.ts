/**
 * Number of indices from 0 to `length` for which the condition holds. Binary search: once the condition does not hold, it
 * must not hold for any later index.
 */
export function countWhile(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
