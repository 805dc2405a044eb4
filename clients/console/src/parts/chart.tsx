import { useEffect, useRef } from 'react';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { useTheme } from '../theme.ts';

const HEIGHT = 180;
/** Half of a bar of a minute, so that the first and the last are whole. */
const BESIDE_S = 30;

/**
 * Bars over time, in the colours of the theme.
 * @param says what it shows in words, for those who do not see it
 */
export const TimeBars = ({
  at,
  values,
  name,
  says,
}: {
  at: readonly number[];
  values: readonly number[];
  name: string;
  says: string;
}) => {
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
      const colour = (token: string) => style.getPropertyValue(token).trim();
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
          padding: [8, 8, 0, 0],
          legend: { show: false },
          cursor: { show: false },
          scales: {
            x: { range: (_, min, max) => [min - BESIDE_S, max + BESIDE_S] },
            y: { range: (_, __, max) => [0, Math.max(4, Math.ceil(max * 1.15))] },
          },
          axes: [
            { ...axis, grid: { show: false } },
            { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000] },
          ],
          series: [
            {},
            {
              label: name,
              fill: colour('--accent'),
              width: 0,
              points: { show: false },
              ...(UPlot.paths.bars === undefined
                ? {}
                : { paths: UPlot.paths.bars({ size: [0.7, 24], radius: 0.15 }) }),
            },
          ],
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
  }, [theme, name]);

  useEffect(() => plot.current?.setData([[...at], [...values]]), [at, values]);
  return <div ref={place} role="img" aria-label={says} style={{ height: HEIGHT, overflow: 'hidden' }} />;
};
