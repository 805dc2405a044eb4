import { useSyncExternalStore } from 'react';
import type { Part, System } from './system.ts';
import { systemInWords } from './system.ts';

// The whole coordinator, drawn: who asks, the gateway, the services, the mailboxes in Redis, the workers.

interface Box {
  readonly part: Part;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}
const HEIGHT = 116;
const REDIS_HEIGHT = 48;

const narrow = matchMedia('(max-width: 52rem)');
const useNarrow = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      narrow.addEventListener('change', listener);
      return () => narrow.removeEventListener('change', listener);
    },
    () => narrow.matches,
  );

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly redis: { readonly x: number; readonly y: number; readonly width: number };
  readonly lines: readonly string[];
}

/** Side by side. */
const wide = ({ gateway, services, workers }: System): Layout => {
  const width = 1_000;
  const gap = 16;
  const each = (width - gap * (services.length - 1)) / Math.max(1, services.length);
  const front: Box = { part: gateway, x: width / 2 - 120, y: 44, width: 240 };
  const row = services.map((part, at): Box => ({ part, x: at * (each + gap), y: 206, width: each }));
  const redis = { x: 0, y: 366, width };
  const last = workers.map((part, at): Box => ({ part, x: width / 2 - 256 + at * 272, y: 458, width: 240 }));
  const middle = (box: Box): number => box.x + box.width / 2;
  return {
    width,
    height: 458 + HEIGHT + 4,
    boxes: [front, ...row, ...last],
    redis,
    lines: [
      `M ${width / 2} 22 V 44`,
      ...row.map((box) => `M ${width / 2} ${44 + HEIGHT} V 183 H ${middle(box)} V 206`),
      ...row.map((box) => `M ${middle(box)} ${206 + HEIGHT} V 366`),
      ...last.map((box) => `M ${middle(box)} ${366 + REDIS_HEIGHT} V 458`),
    ],
  };
};

/** One below the other, on a line. */
const tall = ({ gateway, services, workers }: System): Layout => {
  const width = 320;
  const step = HEIGHT + 14;
  const left = 28;
  const inset = width - left - 2;
  const front: Box = { part: gateway, x: 2, y: 40, width: width - 4 };
  const row = services.map((part, at): Box => ({ part, x: left, y: 40 + step * (at + 1), width: inset }));
  const redisY = 40 + step * (services.length + 1);
  const belowRedis = redisY + REDIS_HEIGHT + 14;
  const last = workers.map((part, at): Box => ({ part, x: left, y: belowRedis + step * at, width: inset }));
  return {
    width,
    height: belowRedis + step * workers.length,
    boxes: [front, ...row, ...last],
    redis: { x: 2, y: redisY, width: width - 4 },
    lines: [
      `M ${width / 2} 22 V 40`,
      ...row.map(({ y }) => `M 14 ${40 + HEIGHT} V ${y + HEIGHT / 2} H ${left}`),
      `M 14 ${40 + HEIGHT} V ${redisY}`,
      ...last.map(({ y }) => `M 14 ${redisY + REDIS_HEIGHT} V ${y + HEIGHT / 2} H ${left}`),
    ],
  };
};

const Piece = ({ part, x, y, width }: Box) => (
  <g className="piece" data-tone={part.tone}>
    <rect x={x + 1} y={y + 1} width={width - 2} height={HEIGHT - 2} rx="9" />
    <circle cx={x + 18} cy={y + 22} r="5" />
    <text x={x + 30} y={y + 27} className="piece-name">
      {part.name}
    </text>
    <text x={x + 14} y={y + 48} className="piece-says">
      {part.says}
    </text>
    {part.lines.map((line, at) => (
      <text key={line} x={x + 14} y={y + 68 + at * 17} className="piece-line">
        {line}
      </text>
    ))}
  </g>
);

export const Picture = ({ system }: { system: System }) => {
  const layout = (useNarrow() ? tall : wide)(system);
  const { redis } = layout;
  return (
    <svg
      className="system"
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      role="img"
      aria-label={systemInWords(system)}
    >
      <text x={layout.width / 2} y="14" className="piece-line" textAnchor="middle">
        programs, people, miners
      </text>
      {layout.lines.map((line) => (
        <path key={line} d={line} className="system-line" />
      ))}
      {layout.boxes.map((box) => (
        <Piece key={box.part.name} {...box} />
      ))}
      <g className="piece" data-tone={system.redis.tone}>
        <rect x={redis.x + 1} y={redis.y} width={redis.width - 2} height={REDIS_HEIGHT} rx="9" />
        <circle cx={redis.x + 18} cy={redis.y + REDIS_HEIGHT / 2} r="5" />
        <text x={redis.x + 30} y={redis.y + 29} className="piece-name">
          Redis
        </text>
        <text x={redis.x + redis.width - 12} y={redis.y + 29} className="piece-says" textAnchor="end">
          {[system.redis.says, ...system.redis.lines].join(', ')}
        </text>
      </g>
    </svg>
  );
};
