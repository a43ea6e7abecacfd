import classes from "./line-chart.module.css";

interface LineChartProps {
  /** The chart in words, for readers who don't see it. */
  readonly label: string;
  /** The first line is drawn as an area. All have the same number of values. */
  readonly lines: readonly (readonly number[])[];
  /** The value at the top. */
  readonly top: number;
  readonly limit?: number | null;
  readonly alarming?: boolean;
}

const width = 300;
const height = 60;

/** A small chart of values over time. Its numbers belong into the text beside it. */
export function LineChart({ label, lines, top, limit = null, alarming = false }: LineChartProps) {
  const y = (value: number) => (height - (Math.min(value, top) / top) * (height - 2)).toFixed(2);
  const points = (values: readonly number[]) => {
    // One value covers the whole time.
    const drawn = values.length === 1 ? [values[0] ?? 0, values[0] ?? 0] : values;
    return drawn.map((value, index) => `${((index / (drawn.length - 1)) * width).toFixed(2)},${y(value)}`).join(" ");
  };
  const [area, ...others] = lines.filter((values) => values.length > 0);
  return (
    <svg
      className={`${classes.chart} ${alarming ? classes.alarming : ""}`}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {limit !== null && <line className={classes.limit} x1={0} x2={width} y1={y(limit)} y2={y(limit)} />}
      {area && <polygon className={classes.area} points={`0,${height} ${points(area)} ${width},${height}`} />}
      {area && <polyline className={classes.line} points={points(area)} />}
      {others.map((values, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other identity
        <polyline key={index} className={classes.other} points={points(values)} />
      ))}
    </svg>
  );
}
