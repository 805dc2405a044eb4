import type { Job } from '@aitbc/sdk';
import { useState } from 'react';
import { percent } from '../../format.ts';

/** As many as the agent sends: more would be a miner that wants to slow this page down. */
const BOXES_MAX = 1_000;
/** Below this a word had better be looked at. */
const SURE = 0.7;

interface Box {
  readonly text: string;
  readonly confidence: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const isBox = (value: unknown): value is Box => {
  if (typeof value !== 'object' || value === null) return false;
  const { text, confidence, x, y, width, height } = value as Partial<Box>;
  return (
    typeof text === 'string' &&
    [confidence, x, y, width, height].every((each) => Number.isFinite(each) && (each as number) >= 0)
  );
};
const boxesIn = (value: unknown): Box[] =>
  Array.isArray(value) ? value.slice(0, BOXES_MAX).filter(isBox) : [];

/** The picture that a job was asked to read, as its client sent it; undefined without one. */
export const askedPicture = ({ parameters }: Pick<Job, 'parameters'>): string | undefined => {
  const { image_base64: given } = parameters;
  const base64 = typeof given === 'string' ? given.replace(/^data:[^,]*,/, '') : '';
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? `data:image/png;base64,${base64}` : undefined;
};

/** The picture with a frame around each word that was read. Who does not see it has the text below. */
export const WordBoxes = ({ job, value }: { job: Job; value: unknown }) => {
  const [size, setSize] = useState<{ width: number; height: number }>();
  const picture = askedPicture(job);
  const boxes = boxesIn(value);
  if (picture === undefined || boxes.length === 0) return null;
  const unsure = boxes.filter(({ confidence }) => confidence < SURE).length;
  return (
    <figure className="stack">
      <div className="word-boxes">
        <img
          src={picture}
          alt="What was read, with a frame around each word"
          onLoad={({ currentTarget }) =>
            setSize({ width: currentTarget.naturalWidth, height: currentTarget.naturalHeight })
          }
        />
        {size === undefined ? null : (
          <svg viewBox={`0 0 ${size.width} ${size.height}`} aria-hidden="true">
            {boxes.map((box, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: words repeat, and the list never changes
              <rect key={at} data-sure={box.confidence >= SURE} {...placeOf(box)}>
                <title>{`${box.text.slice(0, 100)} (${percent(box.confidence)} sure)`}</title>
              </rect>
            ))}
          </svg>
        )}
      </div>
      <figcaption className="small muted">
        {unsure === 0
          ? `Each word was read with more than ${percent(SURE)} certainty.`
          : `${unsure === 1 ? 'One word has a dashed frame: it was' : `${unsure} words have a dashed frame: they were`} read with less than ${percent(SURE)} certainty.`}
      </figcaption>
    </figure>
  );
};

const placeOf = ({ x, y, width, height }: Box) => ({ x, y, width, height });
