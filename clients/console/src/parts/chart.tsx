import { useEffect, useRef } from 'react';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { useTheme } from '../theme.ts';

const HEIGHT = 180;
/** Half of a bar of a minute, so that the first and the last are whole. */
const BESIDE_S = 30;

interface Series {
  /** Seconds since 1970, oldest first. */
  readonly at: readonly number[];
  readonly values: readonly number[];
  readonly name: string;
  /** What it shows in words, for those who do not see it. */
  readonly says: string;
}

/** How the values stand there: counts as bars, what holds until the next value as steps. */
const SHAPES = {
  bars: {
    besideS: BESIDE_S,
    axis: { size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000] },
    top: (max: number) => Math.max(4, Math.ceil(max * 1.15)),
    series: (colour: string) => ({
      fill: colour,
      width: 0,
      points: { show: false },
      ...(UPlot.paths.bars === undefined
        ? {}
        : { paths: UPlot.paths.bars({ size: [0.7, 24], radius: 0.15 }) }),
    }),
  },
  steps: {
    besideS: 0,
    axis: { size: 60 },
    top: (max: number) => (max > 0 ? max * 1.25 : 1),
    series: (colour: string) => ({
      stroke: colour,
      width: 2,
      points: { show: false },
      ...(UPlot.paths.stepped === undefined ? {} : { paths: UPlot.paths.stepped({ align: 1 }) }),
    }),
  },
};

/** Values over time, in the colours of the theme. */
const TimeChart = ({ at, values, name, says, shape }: Series & { shape: keyof typeof SHAPES }) => {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const theme = useTheme();

  // biome-ignore lint/correctness/useExhaustiveDependencies: it is drawn anew with another theme; data comes below
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const draw = (): void => {
      plot.current?.destroy();
      const style = getComputedStyle(element);
      // A canvas takes no light-dark(): the browser says what a token comes to.
      const colour = (token: string): string => {
        element.style.color = `var(${token})`;
        return style.color;
      };
      const { besideS, axis: ofValues, top, series } = SHAPES[shape];
      const axis = {
        stroke: colour('--muted'),
        font: `12px ${style.fontFamily}`,
        grid: { stroke: colour('--line'), width: 1 },
        ticks: { show: false },
      };
      plot.current = new UPlot(
        {
          width: element.clientWidth,
          height: HEIGHT,
          // Half a label at the right.
          padding: [8, 28, 0, 0],
          legend: { show: false },
          cursor: { show: false },
          scales: {
            x: { range: (_, min, max) => [min - besideS, max + besideS] },
            y: { range: (_, __, max) => [0, top(max)] },
          },
          axes: [
            { ...axis, grid: { show: false } },
            { ...axis, ...ofValues },
          ],
          series: [{}, { label: name, ...series(colour('--accent')) }],
        },
        [[...at], [...values]],
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resized.observe(element);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', draw);
    return () => {
      scheme.removeEventListener('change', draw);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [theme, name, shape]);

  useEffect(() => plot.current?.setData([[...at], [...values]]), [at, values]);
  return <div ref={place} role="img" aria-label={says} style={{ height: HEIGHT, overflow: 'hidden' }} />;
};

export const TimeBars = (series: Series) => <TimeChart {...series} shape="bars" />;
export const TimeSteps = (series: Series) => <TimeChart {...series} shape="steps" />;
