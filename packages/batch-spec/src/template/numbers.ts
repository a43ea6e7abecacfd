/**
 * Formats a float64 as Go's `%e`, `%f` and `%g` do. Without a precision the result has as few digits as are needed to read
 * the same number again. `%g`, which is also `%v`, has an exponent below 1e-4, and from 1e6 or from the precision on.
 */
export function formatFloat(value: number, verb: "e" | "f" | "g", precision: number | undefined): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const magnitude = Math.abs(value);
  if (verb === "f")
    return sign + (precision === undefined ? shortestFixed(magnitude) : roundedFixed(magnitude, precision));
  if (verb === "e") {
    const { digits, exponent } = precision === undefined ? shortest(magnitude) : rounded(magnitude, precision + 1);
    return sign + exponential(digits, exponent);
  }
  const significant = precision === undefined ? undefined : Math.max(1, precision);
  const { digits: all, exponent } = significant === undefined ? shortest(magnitude) : rounded(magnitude, significant);
  const digits = all.replace(/0+$/, "") || "0";
  let limit = significant ?? 6;
  if (significant !== undefined && limit > digits.length && digits.length > exponent) limit = digits.length;
  if (exponent < -4 || exponent >= limit) return sign + exponential(digits, exponent);
  return sign + fixed(digits, exponent);
}

interface Digits {
  /** Decimal digits, of which the first is not 0 unless the number is 0. */
  readonly digits: string;
  /** Power of ten of the first digit. */
  readonly exponent: number;
}

function shortest(magnitude: number): Digits {
  const [mantissa = "0", exponent = "0"] = magnitude.toExponential().split("e");
  return { digits: mantissa.replace(".", ""), exponent: Number(exponent) };
}

function shortestFixed(magnitude: number): string {
  const { digits, exponent } = shortest(magnitude);
  return fixed(digits, exponent);
}

function fixed(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const fraction = digits.slice(exponent + 1);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

function exponential(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${digits[0]}${fraction}e${exponent < 0 ? "-" : "+"}${power}`;
}

/** The exact value of a double as `numerator / denominator`. */
function exact(magnitude: number): readonly [bigint, bigint] {
  let numerator = magnitude;
  let shift = 0;
  while (!Number.isInteger(numerator)) {
    numerator *= 2;
    shift += 1;
  }
  return [BigInt(numerator), 1n << BigInt(shift)];
}

/** Rounds half to even, as Go does. JavaScript's own functions round half up. */
function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

function roundedFixed(magnitude: number, precision: number): string {
  const [numerator, denominator] = exact(magnitude);
  const digits = divideRounded(numerator * 10n ** BigInt(precision), denominator).toString();
  if (precision === 0) return digits;
  const padded = digits.padStart(precision + 1, "0");
  return `${padded.slice(0, -precision)}.${padded.slice(-precision)}`;
}

function rounded(magnitude: number, count: number): Digits {
  if (magnitude === 0) return { digits: "0".repeat(count), exponent: 0 };
  const [numerator, denominator] = exact(magnitude);
  let { exponent } = shortest(magnitude);
  for (;;) {
    const shift = count - 1 - exponent;
    const digits =
      shift >= 0
        ? divideRounded(numerator * 10n ** BigInt(shift), denominator)
        : divideRounded(numerator, denominator * 10n ** BigInt(-shift));
    const text = digits.toString();
    if (text.length <= count) return { digits: text, exponent };
    // Rounding 9.99 up makes one digit more.
    exponent += 1;
  }
}
